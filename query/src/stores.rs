//! The stores of this process: those of the configuration, with their life.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use masthead_store::block::meta::BlockMeta;
use masthead_store::block::{BlockStore, BlockStoreOptions};
use masthead_store::discovery::{DiscoveryOptions, EndpointSet};
use masthead_store::{Budget, Store, StoreError, StoreState};

use crate::config::Sources;
use crate::metrics::StoreMetrics;

/// How often block folders are listed.
const FOLDER_INTERVAL: Duration = Duration::from_secs(30);

/// All stores that queries are asked of.
#[derive(Default)]
pub struct StoreSet {
    peers: Option<EndpointSet>,
    folders: Vec<Arc<BlockStore>>,
    fixed: Vec<Arc<dyn Store>>,
}

impl StoreSet {
    /// The stores of the configuration. Nothing is asked yet. `memory` is the process' budget. Must be called within a tokio
    /// runtime.
    ///
    /// Errors: a folder whose path is no text.
    pub fn new(sources: &Sources, memory: &Budget) -> Result<Self, StoreError> {
        let targets = sources.endpoints.iter().map(|text| text.as_str().into());
        let peers = EndpointSet::new(targets.collect(), DiscoveryOptions::default());
        let mut folders = Vec::new();
        for source in &sources.blocks {
            let options = BlockStoreOptions::directory(&source.folder, source.labels.clone(), memory.clone())?;
            folders.push(Arc::new(BlockStore::open(options)));
        }
        Ok(Self { peers: Some(peers), folders, fixed: vec![] })
    }

    /// Stores that are there already; for tests and programs that embed the server.
    pub fn fixed(stores: Vec<Arc<dyn Store>>) -> Self {
        Self { fixed: stores, ..Self::default() }
    }

    /// All stores as they stand now.
    pub fn list(&self) -> Vec<Arc<dyn Store>> {
        let peers = self.peers.iter().flat_map(EndpointSet::stores);
        let folders = self.folders.iter().map(|folder| folder.clone() as Arc<dyn Store>);
        peers.chain(folders).chain(self.fixed.iter().cloned()).collect()
    }

    /// What the blocks of all folders say of themselves, by time within a folder.
    pub fn blocks(&self) -> Vec<Arc<BlockMeta>> {
        self.folders.iter().flat_map(|folder| folder.metas()).collect()
    }

    /// Reads all folders, and waits until each peer has answered its first question or run out its time.
    pub async fn first_look(&self) {
        let peers = join_all(self.peers.iter().map(EndpointSet::first_round));
        tokio::join!(self.list_folders(), peers);
    }

    /// Looks again and again, without end.
    pub async fn keep_fresh(&self) {
        let folders = async {
            loop {
                tokio::time::sleep(FOLDER_INTERVAL).await;
                self.list_folders().await;
            }
        };
        let ((), _): ((), Vec<()>) = tokio::join!(folders, join_all(self.peers.iter().map(EndpointSet::run)));
    }

    async fn list_folders(&self) {
        join_all(self.folders.iter().map(|folder| async move {
            let was_up = matches!(folder.info().state, StoreState::Up) && folder.info().last_check.is_some();
            if let Err(error) = folder.refresh(SystemTime::now()).await {
                // The state's own line comes once; the rest is for those who look closely.
                match was_up {
                    true => tracing::warn!(store = %folder.info().id, %error, "folder cannot be listed"),
                    false => tracing::debug!(store = %folder.info().id, %error, "folder cannot be listed"),
                }
            }
        }))
        .await;
    }

    /// Writes the state of all stores into the metrics.
    pub fn note_states(&self, metrics: &StoreMetrics) {
        metrics.reset();
        let infos: Vec<_> = self.list().iter().map(|store| store.info()).collect();
        metrics.forget_but(infos.iter().map(|info| info.id.clone()), Instant::now());
        for info in infos {
            let last = info.last_check.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let up = matches!(info.state, StoreState::Up);
            metrics.state(&info.id, &info.component, up, last.map(|since| since.as_secs_f64()));
        }
        for peer in self.peers.iter().flat_map(EndpointSet::remotes) {
            let stats = peer.stats();
            metrics.collected(&peer.info().id, stats.collected_bytes, stats.unsorted);
        }
        for folder in &self.folders {
            metrics.blocks(&folder.info().id, folder.served_blocks().len(), folder.skipped());
        }
    }
}
