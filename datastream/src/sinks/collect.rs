//! A stream's records in the program that started the job, wherever the job runs.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::future::{Either, select};
use pelton_connectors::CollectSink;
use pelton_runtime_core::results::{CollectedResults, Results, ResultsError, ResultsRequest, ServedResults};

use crate::record::{Record, RecordReader};
use crate::role::{ExecuteError, JobClient, RemoteResults};
use crate::stream::{DataStream, DataStreamSink};

impl<T: Record> DataStream<T> {
    /// Runs the job of this stream's environment, with its other sinks, and gives its records to the program while it
    /// runs.
    ///
    /// Under `client run` too: the job runs on the cluster, and the program beside it, which the client started. A job that
    /// takes checkpoints gives a record when the checkpoint after it has completed, or when the job has finished, so that
    /// restarts show none twice; until then the program holds it in memory. With `execution.checkpointing.mode:
    /// AT_LEAST_ONCE`, and without checkpoints, records come at once.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let numbers = env.from_sequence(1, 3).execute_and_collect("example")?;
    /// assert_eq!(numbers.collect::<Result<Vec<_>, _>>()?, [1, 2, 3]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the job cannot be built or started.
    pub fn execute_and_collect(self, name: &str) -> Result<CollectIterator<T>, ExecuteError> {
        let served = ServedResults::default();
        let env = self.execution_environment().clone();
        let (_, sink) = self.add_sink("Data stream collect sink", Arc::new(CollectSink::new(served.clone())));
        env.with_node(sink, |node| node.results = Some(served.clone()));
        DataStreamSink::new((env.clone(), sink)).set_parallelism(1);
        let (job, remote) = env.execute_and_collect(name, &served)?;
        let feed = match remote {
            Some(remote) => Feed::Remote(remote),
            None => Feed::Here(served),
        };
        Ok(CollectIterator { job: Some(job), feed, collected: CollectedResults::default(), rows: None })
    }
}

/// The records of [`execute_and_collect`](DataStream::execute_and_collect), while the job runs. When the job fails or
/// is canceled the last item says so. Dropped before the end, it cancels the job.
#[must_use = "dropping it cancels the job"]
pub struct CollectIterator<T: Record> {
    /// None when the job's end has been told.
    job: Option<JobClient>,
    feed: Feed,
    collected: CollectedResults,
    rows: Option<Rows<T>>,
}

/// Where results come from.
enum Feed {
    /// A sink of this process.
    Here(ServedResults),
    /// The JobManager.
    Remote(RemoteResults),
}

struct Rows<T: Record> {
    reader: RecordReader<T>,
    next: usize,
}

impl Feed {
    async fn fetch(&mut self, request: ResultsRequest) -> Result<Results, ResultsError> {
        match self {
            Self::Here(served) => Ok(served.fetch(request).await),
            Self::Remote(remote) => remote.fetch(request).await,
        }
    }
}

impl<T: Record> CollectIterator<T> {
    /// Asks the job to end. What was collected until then still comes, and then that the job was canceled.
    pub fn cancel(&self) {
        if let Some(job) = &self.job {
            job.cancel();
        }
    }

    /// The next batch, none when the job has ended.
    fn next_batch(&mut self) -> Option<Result<RecordBatch, ExecuteError>> {
        loop {
            if let Some(batch) = self.collected.next_rows() {
                return Some(Ok(batch));
            }
            let job = self.job.as_mut()?;
            let request = self.collected.request();
            let next = {
                let results = std::pin::pin!(self.feed.fetch(request));
                let ended = std::pin::pin!(job.ended());
                // What there is comes before the end.
                match futures::executor::block_on(select(results, ended)) {
                    Either::Left((results, _)) => Either::Left(results),
                    Either::Right((ended, _)) => Either::Right(ended),
                }
            };
            match next {
                Either::Left(Ok(results)) => {
                    if let Err(error) = self.collected.take(results) {
                        return Some(Err(self.give_up(error)));
                    }
                }
                Either::Left(Err(error)) => return Some(Err(self.give_up(error))),
                Either::Right(ended) => {
                    self.job = None;
                    match ended {
                        Ok(_) => self.collected.finish(),
                        Err(error) => return Some(Err(error)),
                    }
                }
            }
        }
    }

    /// No more results can be told: the job is canceled.
    fn give_up(&mut self, why: impl std::error::Error + Send + Sync + 'static) -> ExecuteError {
        let job = self.job.take().expect("results come only while the job's end has not been told");
        job.cancel();
        let job_id = job.job_id();
        // A failure of the job explains more than that its results have ended.
        match job.wait() {
            Err(failed @ ExecuteError::Failed { .. }) => failed,
            _ => ExecuteError::Results { job_id, source: Box::new(why) },
        }
    }
}

impl<T: Record> Iterator for CollectIterator<T> {
    type Item = Result<T, ExecuteError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(rows) = &mut self.rows {
                if rows.next < rows.reader.len() {
                    rows.next += 1;
                    return Some(Ok(rows.reader.read(rows.next - 1)));
                }
                self.rows = None;
            }
            match self.next_batch()? {
                Ok(batch) => match RecordReader::open(&batch) {
                    Ok(reader) => self.rows = Some(Rows { reader, next: 0 }),
                    Err(error) => {
                        return Some(Err(ExecuteError::Cluster {
                            action: "give results that are the stream's records",
                            source: error.into(),
                        }));
                    }
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<T: Record> Drop for CollectIterator<T> {
    fn drop(&mut self) {
        self.cancel();
        if let Feed::Here(served) = &self.feed {
            served.close();
        }
    }
}

impl<T: Record> std::fmt::Debug for CollectIterator<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectIterator").field("ended", &self.job.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pelton_runtime_core::config::Configuration;

    use crate::environment::StreamExecutionEnvironment;
    use crate::role::ExecuteError;

    fn environment() -> StreamExecutionEnvironment {
        StreamExecutionEnvironment::with_configuration(Configuration::from_map(BTreeMap::new()).unwrap())
    }

    #[test]
    fn the_program_gets_every_record_of_its_job() {
        let env = environment();
        env.set_parallelism(2);
        let numbers = env.from_sequence(1, 100_000).filter(|n| n % 3 == 0).map(|n| n * 2);
        let mut found = numbers.execute_and_collect("numbers").unwrap().collect::<Result<Vec<i64>, _>>().unwrap();
        found.sort_unstable();
        assert_eq!(found, (1..=100_000).filter(|n| n % 3 == 0).map(|n| n * 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_job_that_fails_says_so_after_what_it_gave() {
        let numbers =
            environment().from_elements(["1", "2", "x"].map(str::to_owned)).try_map(|text| text.parse::<i64>());
        let results = numbers.execute_and_collect("numbers").unwrap();
        let error = results.collect::<Result<Vec<_>, _>>().unwrap_err();
        assert!(matches!(error, ExecuteError::Failed { .. }), "{error}");
        assert!(error.to_string().contains("invalid digit"), "{error}");
    }

    #[test]
    fn a_restart_shows_no_result_twice_and_loses_none() {
        let failed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let env = environment();
        env.configure("execution.checkpointing.interval", "10 ms").unwrap();
        env.configure("restart-strategy.type", "fixed-delay").unwrap();
        env.configure("restart-strategy.fixed-delay.delay", "1 ms").unwrap();
        let rows = crate::sources::DataGeneratorSource::<i64>::new(|index| index as i64).rows_per_second(5_000.0);
        let rows = env.data_generator(rows.count(3_000)).try_map(move |n| {
            let fails = *n == 2_000 && !failed.swap(true, std::sync::atomic::Ordering::SeqCst);
            if fails { Err("as the test wants it") } else { Ok(*n) }
        });
        let mut found = rows.execute_and_collect("restarts").unwrap().collect::<Result<Vec<i64>, _>>().unwrap();
        found.sort_unstable();
        assert_eq!(found, (0..3_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_restart_without_checkpoints_ends_the_results_once_some_were_shown() {
        let (shown, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let wait = std::sync::Arc::new(parking_lot::Mutex::new(wait));
        let env = environment();
        env.configure("restart-strategy.type", "fixed-delay").unwrap();
        env.configure("restart-strategy.fixed-delay.delay", "1 ms").unwrap();
        let endless = crate::sources::DataGeneratorSource::<i64>::new(|index| index as i64).rows_per_second(1_000.0);
        let rows = env.data_generator(endless).try_map(move |n| {
            // Once the program has seen a result.
            if wait.lock().try_recv().is_ok() { Err("as the test wants it") } else { Ok(*n) }
        });
        let mut results = rows.execute_and_collect("restarts").unwrap();
        assert!(results.next().unwrap().is_ok());
        shown.send(()).unwrap();
        let end = results.find(Result::is_err).unwrap().unwrap_err();
        let said = pelton_runtime_core::failure::error_chain(&end);
        assert!(said.contains("the job has restarted and takes no checkpoints"), "{said}");
        assert!(results.next().is_none());
    }

    #[test]
    fn the_first_results_come_while_the_job_runs() {
        let endless = crate::sources::DataGeneratorSource::<i64>::new(|index| index as i64).rows_per_second(1_000.0);
        let mut results = environment().data_generator(endless).execute_and_collect("endless").unwrap();
        assert!(results.next().unwrap().is_ok());
        results.cancel();
        let end = results.find(Result::is_err).unwrap().unwrap_err();
        assert!(matches!(end, ExecuteError::Canceled { .. }), "{end}");
    }
}
