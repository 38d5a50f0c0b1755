//! What TaskManagers say and fetch.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use pelton_proto as proto;
use pelton_runtime_core::id::TaskManagerId;
use proto::resource_manager_server::ResourceManager;
use proto::task_manager_report::Report;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Services, status};
use crate::resource_manager::{COMMANDS_CAPACITY, ConnectionId, Registration};

/// How long a peer may take to say who it is.
pub(super) const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

#[tonic::async_trait]
impl ResourceManager for Services {
    type RegisterStream = ReceiverStream<Result<proto::TaskManagerCommand, Status>>;
    type FetchArtifactStream = Pin<Box<dyn Stream<Item = Result<proto::ArtifactChunk, Status>> + Send>>;

    async fn register(
        &self,
        request: Request<Streaming<proto::TaskManagerReport>>,
    ) -> Result<Response<Self::RegisterStream>, Status> {
        let mut reports = request.into_inner();
        let first = self
            .env
            .timeout(FIRST_MESSAGE_TIMEOUT, reports.message())
            .await
            .map_err(|late| Status::deadline_exceeded(format!("no registration: {late}")))??;
        let Some(Report::Register(message)) = first.and_then(|first| first.report) else {
            return Err(Status::invalid_argument("a TaskManager's first report is its registration"));
        };
        let registration = Registration::try_from(message).map_err(status::bad_message)?;
        let id = registration.id.clone();
        let (commands, stream) = mpsc::channel(COMMANDS_CAPACITY);
        let connection = self.resource_manager.register(registration, commands).await.map_err(status::stopped)?;
        self.env.spawn("task-manager-reports", pump(self.clone(), id, connection, reports));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch_artifact(
        &self,
        request: Request<proto::FetchArtifactRequest>,
    ) -> Result<Response<Self::FetchArtifactStream>, Status> {
        let chunks = self.blobs.read(&request.into_inner().digest).await.map_err(status::blob)?;
        let messages = chunks.map(|chunk| match chunk {
            Ok(data) => Ok(proto::ArtifactChunk { data }),
            Err(error) => Err(Status::internal(format!("cannot read the artifact: {error}"))),
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

/// Hands on what a TaskManager reports until its stream ends.
async fn pump(
    services: Services,
    id: TaskManagerId,
    connection: ConnectionId,
    mut reports: Streaming<proto::TaskManagerReport>,
) {
    let manager = services.resource_manager;
    let reason = loop {
        match reports.message().await {
            Ok(Some(proto::TaskManagerReport { report: Some(report) })) => {
                if manager.report(id.clone(), connection, report).await.is_err() {
                    return;
                }
            }
            Ok(Some(_)) => tracing::debug!(task_manager = %id, "ignoring a report of an unknown kind"),
            Ok(None) => break "its connection closed".to_owned(),
            Err(status) => break format!("its connection broke: {}", status.message()),
        }
    };
    // When the ResourceManager has ended, nobody cares any more.
    let _ = manager.disconnected(id, connection, reason).await;
}
