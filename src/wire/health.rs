//! gRPC's health service. Those who watch it must hear of a stop, and must not hold it up.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::{HealthReporter, health_reporter};

use crate::contract::OPERATIONS;

/// The state of all services.
pub struct Health {
    reporter: HealthReporter,
    /// The services' names; the empty one stands for the server.
    services: Vec<&'static str>,
}

impl Health {
    /// All services are up.
    pub async fn serving() -> (Self, HealthServer<impl HealthService>) {
        let (reporter, server) = health_reporter();
        let mut services: Vec<&str> = OPERATIONS.iter().map(|operation| operation.service).collect();
        services.push("");
        services.sort_unstable();
        services.dedup();
        for service in &services {
            reporter.set_service_status(service, ServingStatus::Serving).await;
        }
        (Self { reporter, services }, server)
    }

    /// Tells those who watch that the services go down, and ends their streams.
    pub async fn end(mut self) {
        for service in &self.services {
            self.reporter.set_service_status(service, ServingStatus::NotServing).await;
            self.reporter.clear_service_status(service).await;
        }
    }
}
