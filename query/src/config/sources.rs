//! Whom to ask.

use std::path::PathBuf;
use std::time::Duration;

use masthead_store::{Labels, discovery};

use super::Reader;
use super::listen::is_host_port;
use crate::duration;
use crate::flags::SourceArgs;

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct Sources {
    /// StoreAPI peers as written, prefixes included; unique.
    pub endpoints: Vec<String>,
    /// Folders of blocks.
    pub blocks: Vec<BlockSource>,
    /// How long a peer may be silent within an answer; zero: as long as the query may take.
    pub response_timeout: Duration,
}

/// A folder of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSource {
    /// The folder.
    pub folder: PathBuf,
    /// Labels added to blocks that carry none of their own.
    pub labels: Labels,
}

impl Default for Sources {
    fn default() -> Self {
        Self { endpoints: vec![], blocks: vec![], response_timeout: Duration::from_secs(5) }
    }
}

impl Reader<'_> {
    pub(super) fn sources(&mut self, args: &SourceArgs, to: &mut Sources) {
        let named = [
            ("endpoint", &args.endpoints),
            ("store", &args.stores),
            ("endpoint-strict", &args.strict_endpoints),
            ("store-strict", &args.strict_stores),
        ];
        for (name, addresses) in named {
            let strict = name.ends_with("strict");
            for address in addresses {
                match check_endpoint(address, strict) {
                    Err(fault) => self.faults.push(format!("{name}: {fault}")),
                    Ok(()) if !to.endpoints.contains(address) => to.endpoints.push(address.clone()),
                    Ok(()) => {}
                }
            }
        }
        for text in &args.blocks {
            match parse_blocks(text) {
                Err(fault) => self.faults.push(format!("blocks: {fault}")),
                Ok(source) if to.blocks.iter().any(|have| have.folder == source.folder) => {
                    self.faults.push(format!("blocks: {} is given twice", source.folder.display()));
                }
                Ok(source) => to.blocks.push(source),
            }
        }
        self.set("store.response-timeout", &mut to.response_timeout, duration::parse(&args.response_timeout));
    }
}

fn check_endpoint(address: &str, strict: bool) -> Result<(), String> {
    let name = discovery::behind_prefix(address);
    if let Some((scheme, _)) = address.split_once('+').filter(|_| name.is_none()) {
        return Err(format!(
            "unknown prefix {:?} in {address:?}: dns+, dnsdualstack+, dnssrv+ and dnssrvnoa+ are known",
            format!("{scheme}+")
        ));
    }
    if strict && name.is_some() {
        return Err(format!("{address:?}: a strict address is a plain HOST:PORT"));
    }
    let (plain, needs_port) = name.unwrap_or((address, true));
    let fits = if needs_port { is_host_port(plain) } else { !plain.is_empty() && !plain.contains([' ', '/', ',']) };
    if fits { Ok(()) } else { Err(format!("not an address: {address:?}")) }
}

/// Parses `DIR[,name=value]...`.
fn parse_blocks(text: &str) -> Result<BlockSource, String> {
    let mut parts = text.split(',');
    let folder = parts.next().unwrap_or_default();
    if folder.is_empty() {
        return Err(format!("no folder in {text:?}"));
    }
    let mut pairs = Vec::new();
    for part in parts {
        match part.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => pairs.push((name, value)),
            _ => return Err(format!("{part:?} in {text:?} is not NAME=VALUE")),
        }
    }
    Ok(BlockSource { folder: folder.into(), labels: Labels::from_pairs(pairs) })
}
