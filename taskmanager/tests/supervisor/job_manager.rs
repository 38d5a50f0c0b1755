//! A JobManager under the test's control: it hands over every connection and serves the artifacts it was given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_proto::resource_manager_server::{ResourceManager, ResourceManagerServer};
use pelton_proto::task_manager_command::Command;
use pelton_proto::task_manager_report::Report;
use pelton_proto::{
    ArtifactChunk, FetchArtifactRequest, RegisterTaskManager, Registered, TaskManagerCommand, TaskManagerReport,
};
use pelton_runtime_core::env::{AbortOnDrop, Env};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::cluster::soon;

pub struct FakeJobManager {
    pub address: SocketAddr,
    artifacts: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    connections: mpsc::Receiver<Connection>,
    _server: AbortOnDrop,
}

/// One registration, from its first message on.
pub struct Connection {
    pub register: RegisterTaskManager,
    reports: Streaming<TaskManagerReport>,
    commands: mpsc::Sender<Result<TaskManagerCommand, Status>>,
}

impl FakeJobManager {
    pub async fn start(env: &Env) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections) = mpsc::channel(16);
        let artifacts = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let service = ResourceManagerServer::new(Service { connections: sender, artifacts: artifacts.clone() });
        let server = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = env.spawn("job-manager", async move { server.await.unwrap() });
        Self { address, artifacts, connections, _server: server.abort_on_drop() }
    }

    /// Has this artifact from now on; answers with its digest.
    pub fn has(&self, content: &[u8]) -> String {
        let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        self.artifacts.lock().insert(digest.clone(), content.to_vec());
        digest
    }

    /// Gives out `content` as if it had this digest.
    pub fn lies(&self, digest: &str, content: &[u8]) {
        self.artifacts.lock().insert(digest.to_owned(), content.to_vec());
    }

    /// The next TaskManager that registers.
    pub async fn registration(&mut self) -> Connection {
        soon("a registration", self.connections.recv()).await.unwrap()
    }
}

impl Connection {
    pub async fn send(&self, command: Command) {
        self.commands.send(Ok(TaskManagerCommand { command: Some(command) })).await.unwrap();
    }

    /// The next report that is no heartbeat.
    pub async fn report(&mut self) -> Report {
        loop {
            match soon("a report", self.reports.message()).await.unwrap().unwrap().report.unwrap() {
                Report::Heartbeat(_) => {}
                report => return report,
            }
        }
    }
}

struct Service {
    connections: mpsc::Sender<Connection>,
    artifacts: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

#[tonic::async_trait]
impl ResourceManager for Service {
    type RegisterStream = ReceiverStream<Result<TaskManagerCommand, Status>>;
    type FetchArtifactStream = tokio_stream::Iter<std::vec::IntoIter<Result<ArtifactChunk, Status>>>;

    async fn register(
        &self,
        request: Request<Streaming<TaskManagerReport>>,
    ) -> Result<Response<Self::RegisterStream>, Status> {
        let mut reports = request.into_inner();
        let (commands, stream) = mpsc::channel(16);
        let Some(Report::Register(register)) = reports.message().await?.unwrap().report else {
            return Err(Status::invalid_argument("the first report must be a registration"));
        };
        let registered = Registered {
            resource_manager_epoch: vec![1; 16],
            heartbeat_interval_ms: 1000,
            heartbeat_timeout_ms: 60_000,
        };
        let registered = TaskManagerCommand { command: Some(Command::Registered(registered)) };
        commands.send(Ok(registered)).await.unwrap();
        self.connections.send(Connection { register, reports, commands }).await.unwrap();
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch_artifact(
        &self,
        request: Request<FetchArtifactRequest>,
    ) -> Result<Response<Self::FetchArtifactStream>, Status> {
        let digest = request.into_inner().digest;
        let artifacts = self.artifacts.lock();
        let content = artifacts.get(&digest).ok_or_else(|| Status::not_found("no such artifact"))?;
        let chunks: Vec<_> =
            content.chunks(1000).map(|data| Ok(ArtifactChunk { data: data.to_vec().into() })).collect();
        Ok(Response::new(tokio_stream::iter(chunks)))
    }
}
