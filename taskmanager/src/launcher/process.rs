//! Workers as processes: the user's program or this very binary, under a guard.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_process::log_files::LogFiles;
use pelton_runtime_core::config::ByteSize;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::error_chain;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use self::old_logs::OldLogs;
use super::{Want, WorkerEnd, WorkerEvent, WorkerEvents, WorkerLauncher, WorkerOrder, wanted};
use crate::artifact::{ArtifactCache, ArtifactError, Lease};
use crate::guard::memory_watch::{MemoryWatch, Watching};
use crate::guard::output::{StandardError, StandardOutput, pump};
use crate::guard::process::{self, GuardedProcess, Leash, Program, SpawnError, signal_name};
use crate::guard::undertaker::Undertaker;
use crate::worker::setup::{ROLE_VARIABLE, WORKER_ROLE, WORKER_VARIABLE, WorkerMemory};

mod old_logs;

/// How long the output of a worker that has ended is waited for. It is there already, unless a process that left the
/// worker's group still holds the pipe.
const DRAIN: Duration = Duration::from_millis(200);

/// The argument that makes this binary a worker for jobs without a program.
pub const WORKER_SUBCOMMAND: &str = "worker";

/// Starts workers as processes.
#[derive(Clone)]
pub struct ProcessLauncher {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    artifacts: ArtifactCache,
    /// What runs jobs without a program.
    stock: PathBuf,
    files: Option<Arc<LogFiles>>,
    output: StandardOutput,
    memory: MemoryWatch,
    undertaker: Undertaker,
    /// `taskmanager.memory.process.size` and the number of slots, to explain a limit with.
    process_size: ByteSize,
    all_slots: u32,
    old_logs: Mutex<OldLogs>,
}

/// Why a worker whose program is here did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("cannot create the folder {}", folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("cannot read what the worker prints")]
    Pipe(#[source] std::io::Error),
    #[error("cannot write down what the worker has to know")]
    Setup(#[from] serde_json::Error),
}

/// What the launcher needs beside the environment.
pub struct ProcessLauncherParts {
    /// The programs.
    pub artifacts: ArtifactCache,
    /// The binary that runs jobs without a program when told [`WORKER_SUBCOMMAND`].
    pub stock: PathBuf,
    /// Where output goes.
    pub files: Option<Arc<LogFiles>>,
    /// `taskmanager.memory.process.size`.
    pub process_size: ByteSize,
    /// The number of slots of the TaskManager.
    pub all_slots: u32,
}

impl ProcessLauncher {
    /// A launcher with its memory watch and its undertaker.
    ///
    /// # Errors
    ///
    /// When the output file, the watch's thread or the undertaker's process cannot be had.
    pub fn new(env: Env, parts: ProcessLauncherParts) -> std::io::Result<Self> {
        let ProcessLauncherParts { artifacts, stock, files, process_size, all_slots } = parts;
        let output = StandardOutput::open(files.as_deref())?;
        let memory = MemoryWatch::start(&env)?;
        let undertaker = Undertaker::start(all_slots)?;
        let old_logs = Mutex::new(OldLogs::new(files.as_ref().map_or(0, |files| files.rotation.keep)));
        let inner =
            Inner { env, artifacts, stock, files, output, memory, undertaker, process_size, all_slots, old_logs };
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl WorkerLauncher for ProcessLauncher {
    fn launch(&self, order: WorkerOrder, want: watch::Receiver<Want>, events: WorkerEvents) {
        let inner = self.inner.clone();
        self.inner.env.spawn("worker", async move {
            let folder = order.setup.tmp_dir.clone();
            let last = inner.run(order, want, &events).await;
            remove_folder(&folder).await;
            events.tell(last).await;
        });
    }
}

impl Inner {
    async fn run(&self, order: WorkerOrder, mut want: watch::Receiver<Want>, events: &WorkerEvents) -> WorkerEvent {
        // A download may take long and may be given up. Once a process is coming to life it may not: it would end at
        // some time after its end was told, without its folder and on slots of others.
        let program = tokio::select! {
            biased;
            () = wanted(&mut want, Want::Stop) => return WorkerEvent::Exited(WorkerEnd::default()),
            program = self.program(&order) => program,
        };
        let started = match &program {
            Ok(program) => self.start(&order, program.as_ref()).await,
            Err(error) => return WorkerEvent::StartFailed(error_chain(error)),
        };
        match started {
            Ok(process) => {
                let process_id = process.leash.signals().process_id();
                events.tell(WorkerEvent::Started { process_id }).await;
                WorkerEvent::Exited(self.live(&order, process, want).await)
            }
            Err(error) => WorkerEvent::StartFailed(error_chain(&error)),
        }
    }

    async fn program(&self, order: &WorkerOrder) -> Result<Option<Lease>, ArtifactError> {
        match &order.artifact {
            Some(digest) => self.artifacts.lease(digest).await.map(Some),
            None => Ok(None),
        }
    }

    async fn start(&self, order: &WorkerOrder, program: Option<&Lease>) -> Result<Running, StartError> {
        let setup = &order.setup;
        let folder = setup.tmp_dir.clone();
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(|source| StartError::Folder { folder: folder.clone(), source })?;
        let environment = vec![
            (ROLE_VARIABLE.into(), WORKER_ROLE.into()),
            (WORKER_VARIABLE.into(), serde_json::to_string(setup)?.into()),
            ("TMPDIR".into(), folder.clone().into()),
        ];
        let (path, arguments) = match program {
            Some(program) => (program.path().to_owned(), order.arguments.iter().map(OsString::from).collect()),
            None => (self.stock.clone(), vec![OsString::from(WORKER_SUBCOMMAND)]),
        };
        let data_limit = Some(data_limit(setup.memory));
        let program_to_run = Program { path, arguments, environment, folder, data_limit };
        let process = process::spawn(&self.env, &self.undertaker, program_to_run).await?;
        Running::of(process).await.map_err(StartError::Pipe)
    }

    async fn live(&self, order: &WorkerOrder, process: Running, mut want: watch::Receiver<Want>) -> WorkerEnd {
        let setup = &order.setup;
        let Running { leash, mut stdin, mut exit, pipes } = process;
        let signals = leash.signals();
        let watching = self.memory.limit(signals, setup.memory.total);
        let mut output = self.output.clone();
        let mut errors = StandardError::new(self.files.as_deref(), &format!("worker-{}", setup.worker_id));
        let status = {
            let pumps = async { tokio::join!(pump(pipes.stdout, &mut output), pump(pipes.stderr, &mut errors)) };
            tokio::pin!(pumps);
            let mut pumping = true;
            let mut wish = Want::Run;
            let status = loop {
                tokio::select! {
                    biased;
                    status = &mut exit => break status.ok(),
                    () = wanted(&mut want, wish.next()), if wish < Want::Kill => {
                        wish = want.borrow().to_owned().max(wish.next());
                        stdin = None;
                        match wish {
                            Want::Kill => signals.kill(),
                            _ => signals.terminate(),
                        }
                    }
                    _ = &mut pumps, if pumping => pumping = false,
                }
            };
            if pumping && self.env.timeout(DRAIN, &mut pumps).await.is_err() {
                tracing::warn!(worker = %setup.worker_id, "something that the worker started still holds its output");
            }
            status
        };
        drop(stdin);
        self.end(order, status, &watching, errors)
    }

    fn end(
        &self,
        order: &WorkerOrder,
        status: Option<ExitStatus>,
        watching: &Watching,
        errors: StandardError,
    ) -> WorkerEnd {
        let (stderr_tail, crashed_task, log) = errors.finish();
        if let Some(log) = log {
            self.old_logs.lock().add(log);
        }
        let reason = watching.exceeded().map(|held| {
            format!(
                "worker used {} MiB, its budget is {} MiB (taskmanager.memory.process.size is {}, {} of {} slots)",
                held >> 20,
                order.setup.memory.total >> 20,
                self.process_size,
                order.setup.slots,
                self.all_slots
            )
        });
        WorkerEnd {
            exit_code: status.and_then(|status| status.code()),
            signal: status.and_then(signal_name),
            reason,
            stderr_tail,
            crashed_task,
        }
    }
}

impl Want {
    fn next(self) -> Self {
        match self {
            Self::Run => Self::Stop,
            Self::Stop | Self::Kill => Self::Kill,
        }
    }
}

/// A process whose pipes the runtime reads.
struct Running {
    leash: Leash,
    stdin: Option<ChildStdin>,
    exit: oneshot::Receiver<ExitStatus>,
    pipes: Pipes,
}

/// The pipes from a worker.
struct Pipes {
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
}

impl Running {
    /// A process whose pipes cannot be read has ended when this fails.
    async fn of(process: GuardedProcess) -> std::io::Result<Self> {
        let GuardedProcess { leash, stdin, stdout, stderr, exit } = process;
        let pipes = pipe::Receiver::from_owned_fd(OwnedFd::from(stdout)).and_then(|stdout| {
            let stderr = pipe::Receiver::from_owned_fd(OwnedFd::from(stderr))?;
            Ok(Pipes { stdout, stderr })
        });
        match pipes {
            Ok(pipes) => Ok(Self { leash, stdin, exit, pipes }),
            Err(error) => {
                drop(leash);
                // How it ended is of no interest.
                drop(exit.await);
                Err(error)
            }
        }
    }
}

/// A backstop behind the watch: a single request for far more than the budget fails in the worker itself, at once and
/// with a message. Mapped is more than held (stacks, what the allocator keeps), so this limit is generous.
const fn data_limit(memory: WorkerMemory) -> u64 {
    memory.total.saturating_mul(2).saturating_add(1 << 30)
}

async fn remove_folder(folder: &Path) {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "cannot remove the folder of a worker");
        }
        _ => {}
    }
}
