//! A JobManager in this process, and the other side of its protocol.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_jobmanager::{JobManager, StartError, StartOptions, start};
use pelton_proto as proto;
use pelton_runtime_core::config::{Configuration, Origin};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::graph::{JobGraph, JobVertex, OperatorNode, OperatorRole, StockOperator};
use pelton_runtime_core::id::{JobVertexId, OperatorId};
use proto::dispatcher_client::DispatcherClient;
use proto::job_master_client::JobMasterClient;
use proto::resource_manager_client::ResourceManagerClient;
use proto::task_manager_command::Command;
use proto::task_manager_report::Report;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A job of one stock vertex.
pub fn graph(parallelism: u32) -> proto::JobGraph {
    let id = OperatorId::from_bytes([3; 16]);
    let stock = Some(StockOperator { kind: "numbers".into(), payload: Vec::new() });
    let name = "Source: Numbers".to_owned();
    let head = OperatorNode { id, uid: None, name: name.clone(), role: OperatorRole::Source, input: None, stock };
    let vertex = JobVertex {
        id: JobVertexId::of_head(id),
        name,
        parallelism,
        max_parallelism: 128,
        slot_sharing_group: "default".into(),
        operators: vec![head],
    };
    let configuration = BTreeMap::new();
    JobGraph { name: "numbers".into(), vertices: vec![vertex], edges: Vec::new(), configuration }.to_wire()
}

/// The output of what has to complete before the deadline.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    Env::production().timeout(DEADLINE, future).await.expect("in time")
}

/// The message of the error that has to be there.
pub fn text_of<T>(result: Result<T, Status>) -> String {
    result.err().expect("refused").message().to_owned()
}

pub struct Cluster {
    manager: JobManager,
    dispatcher: DispatcherClient<Channel>,
    resource_manager: ResourceManagerClient<Channel>,
    job_master: JobMasterClient<Channel>,
    _blobs: tempfile::TempDir,
}

impl Cluster {
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::try_start(settings).await.expect("started")
    }

    pub async fn try_start(settings: &[(&str, &str)]) -> Result<Self, StartError> {
        let blobs = tempfile::tempdir().expect("a folder");
        let folder = blobs.path().display().to_string();
        let mut all = vec![
            ("rest.bind-port", "0"),
            ("rest.bind-address", "127.0.0.1"),
            ("jobmanager.rpc.port", "0"),
            ("jobmanager.bind-host", "127.0.0.1"),
            ("jobmanager.rpc.address", "127.0.0.1"),
            ("blob.storage.directory", &folder),
            // These fakes need not end the workers that they were told to end.
            ("cluster.services.shutdown-timeout", "500 ms"),
        ];
        all.extend(settings);
        let all: BTreeMap<String, String> = all.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let configuration = Configuration::default().with_overrides(all, &Origin::CommandLine).expect("valid");
        let manager = start(Env::production(), configuration, StartOptions::default()).await?;
        let channel = |port| async move {
            let endpoint = Channel::from_shared(format!("http://127.0.0.1:{port}")).expect("an address");
            endpoint.connect().await.expect("connected")
        };
        // Clients use the REST port, the others their own.
        let dispatcher = DispatcherClient::new(channel(manager.rest_address().port()).await);
        let control = channel(manager.rpc_address().port()).await;
        Ok(Self {
            dispatcher,
            resource_manager: ResourceManagerClient::new(control.clone()),
            job_master: JobMasterClient::new(control),
            manager,
            _blobs: blobs,
        })
    }

    pub fn rest_port(&self) -> u16 {
        self.manager.rest_address().port()
    }

    pub fn rpc_port(&self) -> u16 {
        self.manager.rpc_address().port()
    }

    pub async fn stop(self) {
        let Self { manager, dispatcher, resource_manager, job_master, _blobs } = self;
        drop((dispatcher, resource_manager, job_master));
        in_time(manager.shutdown("the test is over")).await;
    }

    pub async fn submit(&mut self, graph: proto::JobGraph, job_id: Option<Vec<u8>>) -> Result<Vec<u8>, Status> {
        let request = proto::SubmitJobRequest { graph: Some(graph), job_id, ..proto::SubmitJobRequest::default() };
        Ok(self.dispatcher.submit_job(request).await?.into_inner().job_id)
    }

    pub async fn submit_program(&mut self, graph: proto::JobGraph, digest: &str) -> Result<Vec<u8>, Status> {
        let artifact_digest = Some(digest.to_owned());
        let request =
            proto::SubmitJobRequest { graph: Some(graph), artifact_digest, ..proto::SubmitJobRequest::default() };
        Ok(self.dispatcher.submit_job(request).await?.into_inner().job_id)
    }

    pub async fn upload(&mut self, content: &[u8]) -> String {
        let chunks: Vec<_> =
            content.chunks(100_000).map(|data| proto::ArtifactChunk { data: data.to_vec().into() }).collect();
        let reply = self.dispatcher.upload_artifact(tokio_stream::iter(chunks)).await.expect("stored");
        reply.into_inner().digest
    }

    pub async fn fetch(&mut self, digest: &str) -> Result<Vec<u8>, Status> {
        let request = proto::FetchArtifactRequest { digest: digest.to_owned() };
        let mut chunks = self.resource_manager.fetch_artifact(request).await?.into_inner();
        let mut content = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            content.extend(chunk.data);
        }
        Ok(content)
    }

    pub async fn cancel(&mut self, job: &[u8]) -> Result<(), Status> {
        self.dispatcher.cancel_job(proto::CancelJobRequest { job_id: job.to_vec() }).await.map(drop)
    }

    pub async fn await_job(&mut self, job: &[u8]) -> proto::AwaitJobReply {
        let request = proto::AwaitJobRequest { job_id: job.to_vec() };
        let reply = in_time(self.dispatcher.await_job(request)).await;
        reply.expect("known").into_inner()
    }

    pub async fn jobs(&mut self) -> Vec<proto::JobSummary> {
        self.dispatcher.list_jobs(proto::ListJobsRequest {}).await.expect("a list").into_inner().jobs
    }

    pub async fn until(&mut self, job: &[u8], state: &str) {
        let reached = async {
            while !self.jobs().await.iter().any(|known| known.job_id == job && known.state == state) {
                tokio::task::yield_now().await;
            }
        };
        in_time(reached).await;
    }

    pub async fn until_slots_free(&self, slots: u32) {
        let cluster = self.manager.cluster();
        let reached = async {
            loop {
                let views = cluster.task_managers().await.expect("answered");
                if views.iter().map(|view| view.slots_free).sum::<u32>() == slots {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        in_time(reached).await;
    }

    /// Its slots count.
    async fn until_registered(&self, id: &str) {
        let cluster = self.manager.cluster();
        let reached = async {
            loop {
                let views = cluster.task_managers().await.expect("answered");
                if views.iter().any(|view| view.id.0 == id && view.slots_total > 0) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        in_time(reached).await;
    }

    /// What a job waits for, whenever that changes.
    pub async fn watch_slots(&mut self, job: &[u8]) -> Streaming<proto::SlotsWait> {
        let request = proto::WatchSlotsRequest { job_id: job.to_vec() };
        self.dispatcher.watch_slots(request).await.expect("known").into_inner()
    }

    /// What REST answers.
    pub async fn rest(&self, path: &str) -> serde_json::Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.rest_port())).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        in_time(stream.read_to_string(&mut answer)).await.expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).expect("JSON")
    }

    pub async fn task_manager(&mut self, id: &str, slots: u32) -> TaskManager {
        let (reports, stream) = mpsc::channel(64);
        let register = proto::RegisterTaskManager {
            id: id.to_owned(),
            host: format!("host-{id}"),
            rpc_port: 1,
            data_port: 0,
            slots,
            hardware: Some(proto::HardwareDescription::default()),
            memory: Some(proto::MemoryConfiguration::default()),
            workers: Vec::new(),
        };
        let first = proto::TaskManagerReport { report: Some(Report::Register(register)) };
        reports.send(first).await.expect("open");
        let commands = self.resource_manager.register(ReceiverStream::new(stream)).await.expect("registered");
        let mut task_manager = TaskManager { reports, commands: commands.into_inner() };
        assert!(matches!(task_manager.command().await, Command::Registered(_)));
        let heartbeat = Report::Heartbeat(proto::TaskManagerHeartbeat::default());
        let first = proto::TaskManagerReport { report: Some(heartbeat) };
        task_manager.reports.send(first).await.expect("open");
        self.until_registered(id).await;
        task_manager
    }

    pub async fn worker(&mut self, start: &proto::StartWorker) -> Result<Worker, Status> {
        let (reports, stream) = mpsc::channel(64);
        let register = proto::RegisterWorker {
            fingerprint: start.fingerprint.clone(),
            data_address: "127.0.0.1:9".into(),
            process_id: 1,
        };
        let who = proto::WorkerReport {
            job_id: start.job_id.clone(),
            epoch: start.epoch,
            worker_id: start.worker_id.clone(),
            report: None,
        };
        let first =
            proto::WorkerReport { report: Some(proto::worker_report::Report::Register(register)), ..who.clone() };
        reports.send(first).await.expect("open");
        let commands = self.job_master.attach(ReceiverStream::new(stream)).await?.into_inner();
        let mut worker = Worker { who, reports, commands };
        assert!(matches!(worker.command().await, Some(proto::worker_command::Command::Registered(_))));
        Ok(worker)
    }
}

pub struct TaskManager {
    reports: mpsc::Sender<proto::TaskManagerReport>,
    commands: Streaming<proto::TaskManagerCommand>,
}

impl TaskManager {
    async fn command(&mut self) -> Command {
        let message = in_time(self.commands.message()).await;
        message.expect("sound").expect("open").command.expect("a command")
    }

    pub async fn start_worker(&mut self) -> proto::StartWorker {
        loop {
            if let Command::StartWorker(start) = self.command().await {
                return start;
            }
        }
    }

    pub async fn stop_worker(&mut self) -> proto::StopWorker {
        loop {
            if let Command::StopWorker(stop) = self.command().await {
                return stop;
            }
        }
    }

    /// The JobManager has ended the stream, in good order or by leaving.
    pub async fn until_closed(&mut self) {
        while let Ok(Some(_)) = in_time(self.commands.message()).await {}
    }

    pub async fn worker_exited(&mut self, worker_id: &[u8], exit_code: Option<i32>) {
        let requested = exit_code.is_none();
        let worker_id = worker_id.to_vec();
        self.exited(proto::WorkerExited { worker_id, exit_code, requested, ..proto::WorkerExited::default() }).await;
    }

    pub async fn exited(&mut self, exited: proto::WorkerExited) {
        let report = proto::TaskManagerReport { report: Some(Report::WorkerExited(exited)) };
        self.reports.send(report).await.expect("open");
    }
}

pub struct Worker {
    who: proto::WorkerReport,
    reports: mpsc::Sender<proto::WorkerReport>,
    commands: Streaming<proto::WorkerCommand>,
}

impl Worker {
    pub async fn command(&mut self) -> Option<proto::worker_command::Command> {
        let message = in_time(self.commands.message()).await;
        message.expect("sound").map(|message| message.command.expect("a command"))
    }

    pub async fn deployed(&mut self) -> proto::DeployTasks {
        match self.command().await {
            Some(proto::worker_command::Command::Deploy(deploy)) => deploy,
            other => panic!("expected tasks, got {other:?}"),
        }
    }

    pub async fn task(&mut self, attempt_id: &[u8], state: &str, failure: Option<proto::FailureCause>) {
        let change = proto::TaskStateChanged {
            attempt_id: attempt_id.to_vec(),
            state: state.to_owned(),
            failure,
            final_state: None,
            last_checkpoint: None,
        };
        let report = Some(proto::worker_report::Report::TaskState(change));
        self.reports.send(proto::WorkerReport { report, ..self.who.clone() }).await.expect("open");
    }
}
