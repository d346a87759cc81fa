//! Evaluations over literal rows.
