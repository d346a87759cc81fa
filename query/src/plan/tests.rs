//! Plans of literal queries.
