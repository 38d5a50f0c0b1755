//! Says that a job waits for slots, to somebody who waits for the job.
//!
//! Only a wait that lasts is worth a line: a cluster that is just starting has its slots in a moment.

use std::time::Duration;

use pelton_proto::SlotsWait;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::id::JobId;
use tokio_stream::{Stream, StreamExt};

/// How long a job may wait unnoticed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hands on a line when the job has waited for a while, when what is missing changes, and when it has its slots.
pub(super) async fn report(
    env: &Env,
    job: JobId,
    mut waits: impl Stream<Item = SlotsWait> + Unpin,
    mut say: impl FnMut(String),
) {
    let mut said = SlotsWait::default();
    let mut wait = SlotsWait::default();
    loop {
        let next = if wait.needed > 0 && wait != said {
            env.timeout(PATIENCE, waits.next()).await
        } else {
            Ok(waits.next().await)
        };
        match next {
            Ok(Some(next)) => wait = next,
            Ok(None) => return,
            Err(_) => {
                said = wait;
                say(waiting(job, wait));
            }
        }
        if wait.needed == 0 && said.needed > 0 {
            said = SlotsWait::default();
            say(format!("Job {job} does not wait for slots any longer."));
        }
    }
}

fn waiting(job: JobId, wait: SlotsWait) -> String {
    let SlotsWait { needed, total, free } = wait;
    let slots = if needed == 1 { "slot" } else { "slots" };
    format!("Job {job} waits for {needed} {slots}: the cluster has {total}, of which {free} are free.")
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    const fn wait(needed: u32, total: u32, free: u32) -> SlotsWait {
        SlotsWait { needed, total, free }
    }

    #[tokio::test]
    async fn a_wait_that_lasts_is_told_once_and_so_is_its_end() {
        let env = Env::production();
        let (waits, stream) = mpsc::channel(8);
        let (lines, mut told) = mpsc::channel(8);
        let job = JobId::from_bytes([7; 16]);
        let reported = env.clone();
        env.spawn("report", async move {
            let say = |line: String| lines.try_send(line).expect("room");
            report(&reported, job, ReceiverStream::new(stream), say).await;
        });
        // What passes at once is not worth a word.
        for passing in [wait(0, 0, 0), wait(4, 0, 0), wait(4, 2, 1)] {
            waits.send(passing).await.expect("open");
        }
        let line = told.recv().await.expect("a line");
        assert_eq!(line, format!("Job {job} waits for 4 slots: the cluster has 2, of which 1 are free."));
        waits.send(wait(0, 0, 0)).await.expect("open");
        assert_eq!(told.recv().await.expect("a line"), format!("Job {job} does not wait for slots any longer."));
        drop(waits);
        assert_eq!(told.recv().await, None);
    }

    #[tokio::test]
    async fn a_wait_that_passes_is_not_told() {
        let waits = tokio_stream::iter([wait(4, 0, 0), wait(0, 0, 0)]);
        let say = |line: String| panic!("{line}");
        report(&Env::production(), JobId::from_bytes([7; 16]), waits, say).await;
    }
}
