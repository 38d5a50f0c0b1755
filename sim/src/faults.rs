//! What breaks, and when: drawn from the seed, and over before the job may finish.

use std::time::Duration;

use pelton_runtime_core::time::Moment;
use rand::Rng;
use rand::rngs::StdRng;

use crate::cluster::Cluster;
use crate::network::Latency;
use crate::simulator::Exit;
use crate::storage::Conduct;
use crate::workload::Workload;
use crate::world::Universe;

/// One thing that breaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// A worker is killed.
    KillWorker,
    /// A TaskManager is killed with its workers, and starts again after a while.
    KillTaskManager {
        /// How long it stays away.
        away: Duration,
    },
    /// A connection breaks.
    BreakConnection,
    /// The job's own function fails, once.
    FailFunction,
    /// Nothing gets from one host to another for a while, or neither way.
    Cut {
        /// For how long.
        lasts: Duration,
        /// Whether answers get through.
        one_way: bool,
    },
    /// The storage behaves badly for a while.
    Storage {
        /// How badly.
        conduct: Conduct,
        /// For how long.
        lasts: Duration,
    },
    /// The network is slow for a while.
    SlowNetwork {
        /// How slow.
        most: Duration,
        /// For how long.
        lasts: Duration,
    },
}

impl Fault {
    fn draw(random: &mut StdRng) -> Self {
        let millis = |random: &mut StdRng, most: u64| Duration::from_millis(random.random_range(1..=most));
        match random.random_range(0..10) {
            0..3 => Self::KillWorker,
            3 => Self::KillTaskManager { away: millis(random, 3_000) },
            4 if random.random_bool(0.5) => Self::FailFunction,
            4 => Self::BreakConnection,
            5 | 6 => Self::Cut { lasts: millis(random, 8_000), one_way: random.random_bool(0.5) },
            7 => Self::SlowNetwork { most: millis(random, 400), lasts: millis(random, 3_000) },
            _ => Self::Storage {
                conduct: Conduct {
                    delay: millis(random, 500),
                    refusals: if random.random_bool(0.5) { 0.3 } else { 0.0 },
                    doubts: if random.random_bool(0.5) { 0.3 } else { 0.0 },
                    listing_behind: if random.random_bool(0.5) { millis(random, 2_000) } else { Duration::ZERO },
                },
                lasts: millis(random, 4_000),
            },
        }
    }
}

/// When a fault comes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trigger {
    /// At this moment.
    At(Moment),
    /// When tasks have been polled so many times: between any two steps of anything.
    AfterPolls(u64),
}

/// Faults in their order, and what undoes them.
pub struct Schedule {
    coming: Vec<(Trigger, Fault)>,
    to_undo: Vec<(Moment, Undo)>,
    struck: usize,
}

#[derive(Debug, Clone, Copy)]
enum Undo {
    StartTaskManager(usize),
    Storage,
    Network,
}

impl Schedule {
    /// No faults.
    pub fn quiet() -> Self {
        Self { coming: Vec::new(), to_undo: Vec::new(), struck: 0 }
    }

    /// Up to `most` faults between `from` and `until`.
    pub fn draw(universe: &Universe, most: usize, from: Moment, until: Moment) -> Self {
        let coming = universe.simulator.draw(|random| {
            let count = random.random_range(0..=most);
            let mut coming: Vec<_> = (0..count)
                .map(|_| {
                    let trigger = match random.random_bool(0.5) {
                        true => Trigger::At(Moment(random.random_range(from.0..until.0))),
                        false => Trigger::AfterPolls(random.random_range(1..8_000)),
                    };
                    (trigger, Fault::draw(random))
                })
                .collect();
            coming.reverse();
            coming
        });
        Self { coming, to_undo: Vec::new(), struck: 0 }
    }

    /// How many have struck.
    pub fn struck(&self) -> usize {
        self.struck
    }

    /// Nothing breaks any more, and what is broken is made whole.
    ///
    /// # Errors
    ///
    /// When a TaskManager cannot be started again.
    pub fn end(&mut self, universe: &Universe, cluster: &mut Cluster) -> anyhow::Result<()> {
        self.coming.clear();
        for (_, undo) in std::mem::take(&mut self.to_undo) {
            apply(undo, universe, cluster)?;
        }
        universe.network.heal();
        Ok(())
    }

    /// Lets what is due break, and undoes what has been broken long enough.
    ///
    /// # Errors
    ///
    /// When a TaskManager cannot be started again.
    pub fn advance(&mut self, universe: &Universe, cluster: &mut Cluster, workload: &Workload) -> anyhow::Result<()> {
        let (now, polls) = (universe.simulator.now(), universe.simulator.polls());
        if self.to_undo.iter().any(|(at, _)| *at <= now) {
            let (due, later) = std::mem::take(&mut self.to_undo).into_iter().partition(|(at, _)| *at <= now);
            self.to_undo = later;
            let due: Vec<(Moment, Undo)> = due;
            for (_, undo) in due {
                apply(undo, universe, cluster)?;
            }
        }
        let is_due = |(trigger, _): &(Trigger, Fault)| match trigger {
            Trigger::At(moment) => *moment <= now,
            Trigger::AfterPolls(count) => *count <= polls,
        };
        if let Some(index) = self.coming.iter().position(is_due) {
            let (_, fault) = self.coming.remove(index);
            self.struck += 1;
            self.strike(fault, universe, cluster, workload);
        }
        Ok(())
    }

    fn strike(&mut self, fault: Fault, universe: &Universe, cluster: &Cluster, workload: &Workload) {
        let simulator = &universe.simulator;
        simulator.note(format_args!("FAULT {fault:?}"));
        let draw = |count: usize| simulator.draw(|random| random.random_range(0..count));
        let now = simulator.now();
        match fault {
            Fault::KillWorker => {
                let workers: Vec<_> =
                    cluster.hosts().iter().flat_map(|host| simulator.children_of(host.process)).collect();
                if !workers.is_empty() {
                    universe.kill(workers[draw(workers.len())], Exit::Killed);
                }
            }
            Fault::KillTaskManager { away } => {
                let host = draw(cluster.hosts().len());
                universe.kill(cluster.hosts()[host].process, Exit::Killed);
                self.to_undo.push((now.after(away), Undo::StartTaskManager(host)));
            }
            Fault::BreakConnection => {
                universe.network.break_one();
            }
            Fault::FailFunction => workload.failures.fail_once(),
            Fault::Cut { lasts, one_way } => {
                let mut hosts: Vec<&str> = cluster.hosts().iter().map(|host| host.address.as_str()).collect();
                hosts.push(cluster.job_manager_host());
                let from = draw(hosts.len());
                let to = (from + 1 + draw(hosts.len() - 1)) % hosts.len();
                universe.network.cut(hosts[from], hosts[to], lasts);
                if !one_way {
                    universe.network.cut(hosts[to], hosts[from], lasts);
                }
            }
            Fault::Storage { conduct, lasts } => {
                universe.storage.set_conduct(conduct);
                self.to_undo.push((now.after(lasts), Undo::Storage));
            }
            Fault::SlowNetwork { most, lasts } => {
                universe.network.set_latency(Latency { most, slow: most * 4, ..Latency::default() });
                self.to_undo.push((now.after(lasts), Undo::Network));
            }
        }
    }
}

fn apply(undo: Undo, universe: &Universe, cluster: &mut Cluster) -> anyhow::Result<()> {
    match undo {
        // Another fault may have started it before.
        Undo::StartTaskManager(host) if !universe.simulator.lives(cluster.hosts()[host].process) => {
            cluster.restart_task_manager(host)?;
        }
        Undo::StartTaskManager(_) => {}
        Undo::Storage => universe.storage.set_conduct(Conduct::GOOD),
        Undo::Network => universe.network.set_latency(Latency::default()),
    }
    Ok(())
}
