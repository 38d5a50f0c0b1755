//! A stream's records in the program that runs the job.

use std::sync::Arc;

use futures::future::{Either, select};
use pelton_connectors::{CollectReceiver, collect_channel};

use crate::record::{Record, RecordError, RecordReader};
use crate::role::{self, ExecuteError, JobClient};
use crate::stream::{DataStream, DataStreamSink};

/// Bytes of results that wait for the program. A program that reads slower than that holds back the job.
const RESULT_BYTES: usize = 4 << 20;

impl<T: Record> DataStream<T> {
    /// Runs the job of this stream's environment, with its other sinks, and gives its records to the program while it
    /// runs. Only for programs run by hand.
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
    /// When the program was not run by hand, or the job cannot be built or started.
    pub fn execute_and_collect(self, name: &str) -> Result<CollectIterator<T>, ExecuteError> {
        role::require_local("`execute_and_collect`")?;
        let (sink, results) = collect_channel(RESULT_BYTES);
        let env = self.execution_environment().clone();
        DataStreamSink::new(self.add_sink("Data stream collect sink", Arc::new(sink))).set_parallelism(1);
        let job = env.execute_async(name)?;
        let close: Box<dyn Fn() + Send + Sync> = Box::new(results.closer());
        Ok(CollectIterator { job: Some(Job { client: job, close, ended: None }), results, rows: None })
    }
}

/// The records of [`execute_and_collect`](DataStream::execute_and_collect), while the job runs. When the job fails or
/// is canceled the last item says so. Dropped before the end, it cancels the job.
#[must_use = "dropping it cancels the job"]
pub struct CollectIterator<T: Record> {
    /// None when the job's end has been told.
    job: Option<Job>,
    results: CollectReceiver,
    rows: Option<Rows<T>>,
}

struct Job {
    client: JobClient,
    /// Ends the results, for a job whose sink did not.
    close: Box<dyn Fn() + Send + Sync>,
    ended: Option<Result<(), ExecuteError>>,
}

struct Rows<T: Record> {
    reader: RecordReader<T>,
    next: usize,
}

impl<T: Record> CollectIterator<T> {
    /// Asks the job to end. What was collected until then still comes, and then that the job was canceled.
    pub fn cancel(&self) {
        if let Some(job) = &self.job {
            job.client.cancel();
        }
    }

    /// The next batch's rows, none when the job has ended.
    fn next_rows(&mut self) -> Option<Result<Rows<T>, ExecuteError>> {
        let job = self.job.as_mut()?;
        match futures::executor::block_on(job.next(&mut self.results)) {
            Some(batch) => {
                let reader = RecordReader::open(batch.records()).map_err(unreadable);
                Some(reader.map(|reader| Rows { reader, next: 0 }))
            }
            None => {
                let mut job = self.job.take()?;
                futures::executor::block_on(job.end()).err().map(Err)
            }
        }
    }
}

impl Job {
    /// The next results; none when there are no more.
    async fn next(&mut self, results: &mut CollectReceiver) -> Option<pelton_runtime_core::element::StreamBatch> {
        if self.ended.is_none() {
            let next = std::pin::pin!(results.next());
            let ended = std::pin::pin!(self.client.ended());
            match select(next, ended).await {
                Either::Left((batch, _)) => return batch,
                Either::Right((ended, _)) => {
                    self.ended = Some(ended.map(drop));
                    (self.close)();
                }
            }
        }
        results.next().await
    }

    /// How the job ended.
    async fn end(&mut self) -> Result<(), ExecuteError> {
        match self.ended.take() {
            Some(ended) => ended,
            None => self.client.ended().await.map(drop),
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
            match self.next_rows()? {
                Ok(rows) => self.rows = Some(rows),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<T: Record> Drop for CollectIterator<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<T: Record> std::fmt::Debug for CollectIterator<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectIterator").field("ended", &self.job.is_none()).finish_non_exhaustive()
    }
}

fn unreadable(error: RecordError) -> ExecuteError {
    ExecuteError::Cluster { action: "read the results", source: error.into() }
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
    fn the_first_results_come_while_the_job_runs() {
        let endless = crate::sources::DataGeneratorSource::<i64>::new(|index| index as i64).rows_per_second(1_000.0);
        let mut results = environment().data_generator(endless).execute_and_collect("endless").unwrap();
        assert!(results.next().unwrap().is_ok());
        results.cancel();
        let end = results.find(Result::is_err).unwrap().unwrap_err();
        assert!(matches!(end, ExecuteError::Canceled { .. }), "{end}");
    }
}
