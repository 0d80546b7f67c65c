//! gRPC's health service, and what both faces know of the database's condition. Those who watch must hear of a stop, and
//! must not hold it up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::{HealthReporter, health_reporter};

use crate::access::Access;
use crate::contract::OPERATIONS;
use crate::store::condition::Trouble;

/// How often the database is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A look that takes longer found a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The state of all services.
pub struct Health {
    access: Arc<Access>,
    reporter: HealthReporter,
    /// The services' names; the empty one stands for the server.
    services: Vec<&'static str>,
}

impl Health {
    /// All services are up.
    pub async fn serving(access: Arc<Access>) -> (Self, HealthServer<impl HealthService>) {
        let (reporter, server) = health_reporter();
        let mut services: Vec<&str> = OPERATIONS.iter().map(|operation| operation.service).collect();
        services.push("");
        services.sort_unstable();
        services.dedup();
        let health = Self { access, reporter, services };
        health.tell(ServingStatus::Serving).await;
        (health, server)
    }

    /// Looks at the database until `stop` changes, and tells what changed. Then tells those who watch that the services go
    /// down, and ends their streams.
    pub async fn tend(self, mut stop: watch::Receiver<bool>) {
        let mut known = None;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let look = async {
                looks.tick().await;
                trouble(&self.access).await
            };
            let found = tokio::select! {
                _ = stop.changed() => break,
                found = look => found,
            };
            if found == known {
                continue;
            }
            known = found;
            match found {
                Some(trouble) => {
                    tracing::error!(%trouble, "not ready");
                    self.tell(ServingStatus::NotServing).await;
                }
                None => {
                    tracing::info!("ready again");
                    self.tell(ServingStatus::Serving).await;
                }
            }
        }
        self.end().await;
    }

    async fn tell(&self, status: ServingStatus) {
        for service in &self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }

    async fn end(mut self) {
        self.tell(ServingStatus::NotServing).await;
        for service in &self.services {
            self.reporter.clear_service_status(service).await;
        }
    }
}

/// Why calls cannot be taken now.
async fn trouble(access: &Access) -> Option<Trouble> {
    if access.snapshot().await.is_err() {
        return Some(Trouble::Away);
    }
    tokio::time::timeout(PATIENCE, access.store.look()).await.unwrap_or(Some(Trouble::Away))
}
