//! Messages of facts, read by hand: everything that a message makes is paid for before it is made, so that a small
//! message cannot become large in memory.

use super::super::frame::{LABELS_MAX, label};
use super::super::messages::incomplete;
use super::super::wire::{Fields, Malformed, Value};
use crate::facts::{
    ActiveTarget, Alert, AlertState, Alerting, Count, DroppedTarget, Exemplar, ExemplarSeries, Fact, Facts, Health,
    Kind, MetricMetadata, Moment, Rule, RuleGroup, Statistics,
};
use crate::{Labels, LimitExceeded, Reservation, StoreError};

/// Why a message cannot be read.
pub(super) enum Fault {
    Malformed(Malformed),
    Limit(LimitExceeded),
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<LimitExceeded> for Fault {
    fn from(limit: LimitExceeded) -> Self {
        Self::Limit(limit)
    }
}

impl Fault {
    /// As an error of what is being done: "read rules".
    pub(super) fn during(self, act: &str) -> StoreError {
        match self {
            Fault::Malformed(Malformed(why)) => StoreError::corrupt(format!("{act}: {why}")),
            Fault::Limit(limit) => limit.into(),
        }
    }
}

/// What is read goes through here: the message's bytes and who pays.
type Paid<'a> = &'a mut Reservation;

/// Adds what one message of an answer says to `facts`. `paid` takes what is made on the way, until it belongs to the
/// facts.
pub(super) fn message(kind: Kind, message: &[u8], facts: &mut Facts, paid: Paid<'_>) -> Result<(), Fault> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => {
                let body = value.bytes()?;
                match kind {
                    Kind::Metadata => metadata(body, facts, paid)?,
                    Kind::Rules => {
                        let group = Fact::RuleGroup(group(body, paid)?);
                        facts.push_paid(group, paid)?;
                    }
                    Kind::Targets => targets(body, facts, paid)?,
                    Kind::Exemplars => {
                        let series = Fact::Exemplars(exemplar_series(body, paid)?);
                        facts.push_paid(series, paid)?;
                    }
                    Kind::Statistics => tenants(body, facts, paid)?,
                }
            }
            2 if facts.lacking.is_none() => {
                facts.lacking = Some(incomplete(super::act(kind), &value.sentence()?));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Pays for one `T` more.
fn pay<T>(paid: Paid<'_>) -> Result<(), LimitExceeded> {
    paid.grow(size_of::<T>())
}

fn text(value: Value<'_>, paid: Paid<'_>) -> Result<Box<str>, Fault> {
    let text = value.text()?;
    paid.grow(text.len())?;
    Ok(text.into())
}

/// A text for people, cut.
fn sentence(value: Value<'_>, paid: Paid<'_>) -> Result<Box<str>, Fault> {
    let text = value.sentence()?;
    paid.grow(text.len())?;
    Ok(text.into())
}

fn labels(value: Value<'_>, paid: Paid<'_>) -> Result<Labels, Fault> {
    let mut fields = Fields::new(value.bytes()?);
    let mut pairs = Vec::new();
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            if pairs.len() == LABELS_MAX {
                return Err(Malformed("a set has more than 65,536 labels").into());
            }
            pairs.push(label(value)?);
        }
    }
    let labels = Labels::from_pairs(pairs);
    paid.grow(labels.size_bytes())?;
    Ok(labels)
}

fn moment(value: Value<'_>) -> Result<Moment, Malformed> {
    let mut fields = Fields::new(value.bytes()?);
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => seconds = value.int64()?,
            2 => nanos = value.int64()?,
            _ => {}
        }
    }
    Ok(Moment::new(seconds, nanos))
}

/// Key and value of an entry of a map.
fn entry(bytes: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let mut fields = Fields::new(bytes);
    let (mut key, mut value) = ("", &[][..]);
    while let Some((number, content)) = fields.next()? {
        match number {
            1 => key = content.text()?,
            2 => value = content.bytes()?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn metadata(bytes: &[u8], facts: &mut Facts, paid: Paid<'_>) -> Result<(), Fault> {
    let mut metrics = Fields::new(bytes);
    while let Some((number, value)) = metrics.next()? {
        if number != 1 {
            continue;
        }
        let (metric, metas) = entry(value.bytes()?)?;
        let mut metas = Fields::new(metas);
        while let Some((number, value)) = metas.next()? {
            if number != 2 {
                continue;
            }
            let mut fields = Fields::new(value.bytes()?);
            let (mut kind, mut help, mut unit) = ("", "", "");
            while let Some((number, value)) = fields.next()? {
                match number {
                    1 => kind = value.text()?,
                    2 => help = value.text()?,
                    3 => unit = value.text()?,
                    _ => {}
                }
            }
            paid.grow([metric, kind, help, unit].map(str::len).iter().sum())?;
            let (kind, help, unit) = (kind.into(), help.into(), unit.into());
            facts.push_paid(Fact::Metadata(MetricMetadata { metric: metric.into(), kind, help, unit }), paid)?;
        }
    }
    Ok(())
}

fn group(bytes: &[u8], paid: Paid<'_>) -> Result<RuleGroup, Fault> {
    let mut group = RuleGroup {
        name: "".into(),
        file: "".into(),
        rules: Vec::new(),
        interval_s: 0.0,
        limit: 0,
        evaluation_s: 0.0,
        last_evaluation: Moment::NEVER,
        aborts: false,
    };
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => group.name = text(value, paid)?,
            2 => group.file = text(value, paid)?,
            3 => {
                if let Some(rule) = rule(value.bytes()?, paid)? {
                    pay::<Rule>(paid)?;
                    group.rules.push(rule);
                }
            }
            4 => group.interval_s = value.double()?,
            5 => group.evaluation_s = value.double()?,
            6 => group.last_evaluation = moment(value)?,
            8 => group.aborts = value.varint()? == 1,
            9 => group.limit = value.int64()?,
            _ => {}
        }
    }
    Ok(group)
}

/// A rule; None for one of a kind that is not known here.
fn rule(bytes: &[u8], paid: Paid<'_>) -> Result<Option<Rule>, Fault> {
    let mut fields = Fields::new(bytes);
    let mut rule = None;
    while let Some((number, value)) = fields.next()? {
        rule = match number {
            1 => Some(recording_rule(value.bytes()?, paid)?),
            2 => Some(alerting_rule(value.bytes()?, paid)?),
            _ => rule,
        };
    }
    Ok(rule)
}

fn empty_rule() -> Rule {
    Rule {
        name: "".into(),
        query: "".into(),
        labels: Labels::empty(),
        health: "".into(),
        last_error: "".into(),
        evaluation_s: 0.0,
        last_evaluation: Moment::NEVER,
        alerting: None,
    }
}

fn recording_rule(bytes: &[u8], paid: Paid<'_>) -> Result<Rule, Fault> {
    let mut rule = empty_rule();
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => rule.name = text(value, paid)?,
            2 => rule.query = text(value, paid)?,
            3 => rule.labels = labels(value, paid)?,
            4 => rule.health = text(value, paid)?,
            5 => rule.last_error = sentence(value, paid)?,
            6 => rule.evaluation_s = value.double()?,
            7 => rule.last_evaluation = moment(value)?,
            _ => {}
        }
    }
    Ok(rule)
}

fn alerting_rule(bytes: &[u8], paid: Paid<'_>) -> Result<Rule, Fault> {
    let mut rule = empty_rule();
    let mut alerting = Alerting {
        state: AlertState::Unknown,
        hold_s: 0.0,
        keep_firing_s: 0.0,
        annotations: Labels::empty(),
        alerts: Vec::new(),
    };
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => alerting.state = state(value)?,
            2 => rule.name = text(value, paid)?,
            3 => rule.query = text(value, paid)?,
            4 => alerting.hold_s = value.double()?,
            5 => rule.labels = labels(value, paid)?,
            6 => alerting.annotations = labels(value, paid)?,
            7 => {
                pay::<Alert>(paid)?;
                alerting.alerts.push(alert(value.bytes()?, paid)?);
            }
            8 => rule.health = text(value, paid)?,
            9 => rule.last_error = sentence(value, paid)?,
            10 => rule.evaluation_s = value.double()?,
            11 => rule.last_evaluation = moment(value)?,
            12 => alerting.keep_firing_s = value.double()?,
            _ => {}
        }
    }
    rule.alerting = Some(alerting);
    Ok(rule)
}

fn state(value: Value<'_>) -> Result<AlertState, Malformed> {
    Ok(match value.varint()? {
        1 => AlertState::Inactive,
        2 => AlertState::Pending,
        3 => AlertState::Firing,
        _ => AlertState::Unknown,
    })
}

fn alert(bytes: &[u8], paid: Paid<'_>) -> Result<Alert, Fault> {
    let mut alert = Alert {
        labels: Labels::empty(),
        annotations: Labels::empty(),
        state: AlertState::Unknown,
        active_at: None,
        value: "".into(),
    };
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => alert.labels = labels(value, paid)?,
            2 => alert.annotations = labels(value, paid)?,
            3 => alert.state = state(value)?,
            4 => alert.active_at = Some(moment(value)?),
            5 => alert.value = text(value, paid)?,
            _ => {}
        }
    }
    Ok(alert)
}

fn targets(bytes: &[u8], facts: &mut Facts, paid: Paid<'_>) -> Result<(), Fault> {
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => {
                let target = Fact::ActiveTarget(active_target(value.bytes()?, paid)?);
                facts.push_paid(target, paid)?;
            }
            2 => {
                let mut fields = Fields::new(value.bytes()?);
                let mut discovered_labels = Labels::empty();
                while let Some((number, value)) = fields.next()? {
                    if number == 1 {
                        discovered_labels = labels(value, paid)?;
                    }
                }
                facts.push_paid(Fact::DroppedTarget(DroppedTarget { discovered_labels }), paid)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn active_target(bytes: &[u8], paid: Paid<'_>) -> Result<ActiveTarget, Fault> {
    let mut target = ActiveTarget {
        discovered_labels: Labels::empty(),
        labels: Labels::empty(),
        scrape_pool: "".into(),
        scrape_url: "".into(),
        global_url: "".into(),
        last_error: "".into(),
        last_scrape: Moment::NEVER,
        last_scrape_s: 0.0,
        health: Health::Down,
    };
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => target.discovered_labels = labels(value, paid)?,
            2 => target.labels = labels(value, paid)?,
            3 => target.scrape_pool = text(value, paid)?,
            4 => target.scrape_url = text(value, paid)?,
            5 => target.global_url = text(value, paid)?,
            6 => target.last_error = sentence(value, paid)?,
            7 => target.last_scrape = moment(value)?,
            8 => target.last_scrape_s = value.double()?,
            9 => {
                target.health = match value.varint()? {
                    0 => Health::Down,
                    1 => Health::Up,
                    _ => Health::Unknown,
                };
            }
            _ => {}
        }
    }
    Ok(target)
}

fn exemplar_series(bytes: &[u8], paid: Paid<'_>) -> Result<ExemplarSeries, Fault> {
    let mut series = ExemplarSeries { labels: Labels::empty(), exemplars: Vec::new() };
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => series.labels = labels(value, paid)?,
            2 => {
                let mut exemplar = Exemplar { labels: Labels::empty(), value: 0.0, time: 0 };
                let mut fields = Fields::new(value.bytes()?);
                while let Some((number, value)) = fields.next()? {
                    match number {
                        1 => exemplar.labels = labels(value, paid)?,
                        2 => exemplar.value = value.double()?,
                        3 => exemplar.time = value.int64()?,
                        _ => {}
                    }
                }
                pay::<Exemplar>(paid)?;
                series.exemplars.push(exemplar);
            }
            _ => {}
        }
    }
    Ok(series)
}

fn tenants(bytes: &[u8], facts: &mut Facts, paid: Paid<'_>) -> Result<(), Fault> {
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            let (tenant, bytes) = entry(value.bytes()?)?;
            let statistics = statistics(bytes, paid)?;
            facts.push_paid(Fact::Statistics(Statistics { tenant: tenant.into(), ..statistics }), paid)?;
        }
    }
    Ok(())
}

fn statistics(bytes: &[u8], paid: Paid<'_>) -> Result<Statistics, Fault> {
    let mut out = Statistics::default();
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        let list = match number {
            1 => {
                head(value.bytes()?, &mut out)?;
                continue;
            }
            2 => &mut out.series_by_metric,
            3 => &mut out.values_by_label,
            4 => &mut out.bytes_by_label,
            5 => &mut out.series_by_pair,
            _ => continue,
        };
        let mut fields = Fields::new(value.bytes()?);
        let mut count = Count { name: "".into(), count: 0 };
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => count.name = text(value, paid)?,
                2 => count.count = value.varint()?,
                _ => {}
            }
        }
        pay::<Count>(paid)?;
        list.push(count);
    }
    Ok(out)
}

fn head(bytes: &[u8], out: &mut Statistics) -> Result<(), Malformed> {
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => out.series = value.varint()?,
            2 => out.label_pairs = value.int64()?,
            3 => out.chunks = value.int64()?,
            4 => out.min_time = value.int64()?,
            5 => out.max_time = value.int64()?,
            _ => {}
        }
    }
    Ok(())
}
