//! Where a program begins and ends: collects its operators and runs them in the role the process was started in.
//!
//! ```text
//!  get_execution_environment ─► sources, operators, sinks ─► execute
//!                                                             ├─ no role: an embedded local cluster
//!                                                             ├─ plan:    prints the JobGraph and ends the process
//!                                                             └─ worker:  runs the subtasks it is told to
//! ```
//!
//! The description is the same in every role; only `execute` differs (see [`crate::role`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::config::{Configuration, MaxParallelism, Origin, options, render_map};
use pelton_runtime_core::graph::program::{PartitionFunction, Program};
use pelton_runtime_core::graph::{InvalidGraph, Partitioner};
use pelton_runtime_core::results::ServedResults;

use crate::graph_builder::{GraphDefaults, NodeId, StreamGraph, StreamNode};
use crate::parameters::Parameters;
use crate::role::{self, ExecuteError, JobClient, JobExecutionResult, RemoteResults};

/// The name of a job that was given none, as in Flink.
const DEFAULT_JOB_NAME: &str = "Pelton Streaming Job";

/// Describes and runs a job. Clones share the description.
///
/// ```
/// use pelton::StreamExecutionEnvironment;
///
/// let env = StreamExecutionEnvironment::get_execution_environment();
/// env.set_parallelism(2);
/// ```
#[derive(Clone)]
pub struct StreamExecutionEnvironment {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    graph: StreamGraph,
    /// The configuration of the process or of the submission.
    configuration: Configuration,
    /// What the program set itself.
    settings: BTreeMap<String, String>,
    parallelism: Option<u32>,
    max_parallelism: Option<u32>,
    chaining: Option<bool>,
}

impl std::fmt::Debug for StreamExecutionEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamExecutionEnvironment")
    }
}

impl StreamExecutionEnvironment {
    /// The environment of this process, with the configuration of its role.
    ///
    /// Run by hand, the configuration comes from the environment (`PELTON_CONF_DIR`, `PELTON_…` variables); started by
    /// a client or a TaskManager it is the job's. A configuration that cannot be read ends the process with its
    /// errors: nothing sensible can follow, and the description of a job cannot fail anywhere else.
    ///
    /// ```
    /// use pelton::StreamExecutionEnvironment;
    ///
    /// let env = StreamExecutionEnvironment::get_execution_environment();
    /// env.from_sequence(1, 3).print();
    /// ```
    pub fn get_execution_environment() -> Self {
        match role::configuration() {
            Ok(configuration) => Self::with_configuration(configuration),
            Err(error) => role::refuse_to_start(&error),
        }
    }

    /// An environment with this configuration.
    pub fn with_configuration(configuration: Configuration) -> Self {
        let shared = Shared {
            graph: StreamGraph::default(),
            configuration,
            settings: BTreeMap::new(),
            parallelism: None,
            max_parallelism: None,
            chaining: None,
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Sets the parallelism of operators that have none of their own. It wins over `-p` and `parallelism.default`.
    ///
    /// ```
    /// let env = pelton::testing::mini_cluster(1);
    /// assert_eq!(env.set_parallelism(4).parallelism(), 4);
    /// ```
    pub fn set_parallelism(&self, parallelism: u32) -> &Self {
        self.shared.lock().parallelism = Some(parallelism);
        self
    }

    /// The parallelism of operators that have none of their own.
    pub fn parallelism(&self) -> u32 {
        self.shared.lock().defaults().parallelism
    }

    /// Sets the number of key groups, and so the highest parallelism a keyed operator can ever have.
    ///
    /// ```
    /// let env = pelton::testing::mini_cluster(1);
    /// env.set_max_parallelism(720);
    /// env.from_sequence(1, 3).key_by(|n: &i64| n % 2).reduce(|a, b| a + b).print();
    /// let program = env.program("example").expect("a job");
    /// assert!(program.graph.vertices.iter().all(|vertex| vertex.max_parallelism == 720));
    /// ```
    pub fn set_max_parallelism(&self, max_parallelism: u32) -> &Self {
        self.shared.lock().max_parallelism = Some(max_parallelism);
        self
    }

    /// Gives every operator a task of its own.
    ///
    /// ```
    /// let env = pelton::testing::mini_cluster(1);
    /// env.disable_operator_chaining();
    /// env.from_sequence(1, 3).map(|n| n * n).print();
    /// assert_eq!(env.program("example").expect("a job").graph.vertices.len(), 3);
    /// ```
    pub fn disable_operator_chaining(&self) -> &Self {
        self.shared.lock().chaining = Some(false);
        self
    }

    /// Sets a configuration key for this job, as `-Dkey=value` would. It wins over the cluster's configuration.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// env.configure("execution.checkpointing.interval", "10 s")?;
    /// assert!(env.configure("execution.checkpointing.intervall", "10 s").is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When nobody has the key or the value does not fit it.
    pub fn configure(&self, key: &str, value: &str) -> Result<&Self, ExecuteError> {
        let mut shared = self.shared.lock();
        let pair = [(key.to_owned(), value.to_owned())];
        shared.configuration = shared.configuration.with_overrides(pair.clone(), &Origin::Job)?;
        shared.settings.extend(pair);
        drop(shared);
        Ok(self)
    }

    /// Adds an entry to those that go with the job (`pipeline.global-job-parameters`): all its processes have them, and
    /// REST shows them. What only the process finds out that describes the job, its workers know from here.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// env.set_job_parameter("city", "Oslo")?;
    /// assert_eq!(env.job_parameters()["city"], "Oslo");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the entries cannot be a setting.
    pub fn set_job_parameter(&self, key: &str, value: &str) -> Result<&Self, ExecuteError> {
        let mut parameters = self.job_parameters();
        parameters.insert(key.to_owned(), value.to_owned());
        self.configure(options::pipeline::GLOBAL_JOB_PARAMETERS.key(), &render_map(&parameters))
    }

    /// Adds all parameters of the program to the entries that go with the job, as
    /// [`set_job_parameter`](Self::set_job_parameter) does with one.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::parameters::Parameters;
    ///
    /// let parameters = Parameters::from_args(["--city", "Oslo"]).expect("parameters");
    /// env.set_job_parameters(&parameters)?;
    /// assert_eq!(env.job_parameters()["city"], "Oslo");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When they cannot be a setting.
    pub fn set_job_parameters(&self, parameters: &Parameters) -> Result<&Self, ExecuteError> {
        let mut all = self.job_parameters();
        all.extend(parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        self.configure(options::pipeline::GLOBAL_JOB_PARAMETERS.key(), &render_map(&all))
    }

    /// The entries that go with the job.
    pub fn job_parameters(&self) -> BTreeMap<String, String> {
        self.configuration().get(&options::pipeline::GLOBAL_JOB_PARAMETERS)
    }

    /// The configuration in force.
    pub fn configuration(&self) -> Configuration {
        self.shared.lock().configuration.clone()
    }

    /// Runs the job to its end. An empty name means `pipeline.name`, or a default.
    ///
    /// Started by a client to plan, the process prints the job's graph and ends here; started as a worker, it runs
    /// subtasks and ends here. What follows this call in a program runs only where the program is run by hand.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// env.from_sequence(1, 3).print();
    /// let result = env.execute("example")?;
    /// println!("it took {:?}", result.net_runtime);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the job cannot be built or started, fails, or is canceled.
    pub fn execute(&self, name: &str) -> Result<JobExecutionResult, ExecuteError> {
        role::execute(self.program(name)?, &self.configuration())
    }

    /// Starts the job and answers when it is submitted; the program goes on beside it.
    ///
    /// Under `client run` too, which then waits for the program's end and passes its output on. A program started that way
    /// has one job.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// env.from_sequence(1, 3).print();
    /// let job = env.execute_async("example")?;
    /// println!("job {} runs", job.job_id());
    /// job.wait()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the job cannot be built or started.
    pub fn execute_async(&self, name: &str) -> Result<JobClient, ExecuteError> {
        role::execute_async(self.program(name)?, &self.configuration())
    }

    /// Starts the job that has a sink of these results.
    pub(crate) fn execute_and_collect(
        &self,
        name: &str,
        results: &ServedResults,
    ) -> Result<(JobClient, Option<RemoteResults>), ExecuteError> {
        role::execute_and_collect(self.program(name)?, &self.configuration(), results)
    }

    /// The job's graph and the code of its operators.
    ///
    /// # Errors
    ///
    /// When the graph cannot be run.
    pub fn program(&self, name: &str) -> Result<Program, InvalidGraph> {
        let shared = self.shared.lock();
        let configured = shared.configuration.get(&options::pipeline::NAME);
        let name = match (name, &configured) {
            ("", Some(configured)) => configured,
            ("", None) => DEFAULT_JOB_NAME,
            (name, _) => name,
        };
        shared.graph.build(name, &shared.defaults(), shared.settings.clone())
    }

    /// Whether both describe one job.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Adds an operator that is not typed: for planners that make a graph of something else than closures, such as SQL.
    /// Its inputs must have been added to this environment.
    pub fn add_node(&self, node: StreamNode) -> NodeId {
        self.shared.lock().graph.add(node)
    }

    pub(crate) fn add_partitioner(&self, function: PartitionFunction) -> Partitioner {
        self.shared.lock().graph.add_partitioner(function)
    }

    pub(crate) fn with_node<T>(&self, id: NodeId, change: impl FnOnce(&mut StreamNode) -> T) -> T {
        change(self.shared.lock().graph.node_mut(id))
    }
}

impl Shared {
    fn defaults(&self) -> GraphDefaults {
        let configuration = &self.configuration;
        let max_parallelism =
            self.max_parallelism.or_else(|| match configuration.get(&options::pipeline::MAX_PARALLELISM) {
                MaxParallelism::Derived => None,
                MaxParallelism::Fixed(max) => Some(u32::from(max)),
            });
        GraphDefaults {
            parallelism: self.parallelism.unwrap_or_else(|| configuration.get(&options::cluster::DEFAULT_PARALLELISM)),
            max_parallelism,
            chaining: self.chaining.unwrap_or_else(|| configuration.get(&options::pipeline::OPERATOR_CHAINING)),
            chain_different_max_parallelism: configuration.get(&options::pipeline::CHAIN_DIFFERENT_MAX_PARALLELISM),
        }
    }
}
