//! `grpc.health.v1.Health`: whether calls are answered, for orchestrators and load balancers.

use futures::{Stream, stream};
use masthead_proto::health::health_check_response::ServingStatus;
use masthead_proto::health::{HealthCheckRequest, HealthCheckResponse};
use tonic::Status;

use super::{Call, State};

/// What can be asked for: the server as a whole, or one of its services, which are ready together.
const SERVICES: [&str; 3] = ["", "thanos.Store", "thanos.info.Info"];

fn is_known(request: &HealthCheckRequest) -> bool {
    SERVICES.contains(&request.service.as_str())
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

impl State {
    fn serving(self) -> ServingStatus {
        match self {
            State::Ready => ServingStatus::Serving,
            State::Starting | State::Stopping => ServingStatus::NotServing,
        }
    }
}

impl Call {
    /// Answers `Check`.
    pub(super) fn health(&self, request: &HealthCheckRequest) -> Result<HealthCheckResponse, Status> {
        match is_known(request) {
            true => Ok(response(self.service.0.state.borrow().serving())),
            // In the words of Go's server (health/server.go).
            false => Err(Status::not_found("unknown service")),
        }
    }

    /// Answers `Watch`: how it is now, then each change, until the server stops.
    pub(super) fn watch_health(
        &self,
        request: &HealthCheckRequest,
    ) -> impl Stream<Item = Result<HealthCheckResponse, Status>> + use<> {
        let is_known = is_known(request);
        let start = (self.service.0.state.subscribe(), None);
        stream::unfold(start, move |(mut states, told)| async move {
            loop {
                let state = *states.borrow_and_update();
                let status = if is_known { state.serving() } else { ServingStatus::ServiceUnknown };
                if told != Some(status) {
                    return Some((Ok(response(status)), (states, Some(status))));
                }
                if state == State::Stopping {
                    return None;
                }
                // It fails only when the server is gone.
                states.changed().await.ok()?;
            }
        })
    }
}
