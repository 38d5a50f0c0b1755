//! PageRank without iterations in the job graph: Pelton's jobs have none, so the rounds are written out when the program
//! is planned, each reading the ranks of the one before. What is done in a round is described once, in a loop.
//!
//! Everybody keeps what is known of a page in one window that ends with the input, so each round is exact. The result
//! is every page with its rank, `(page,rank)`.
//!
//! ```sh
//! cargo run --example iterate_free_pagerank -- --rounds 20
//! ```

use std::time::Duration;

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::keyed::{TumblingEventTimeWindows, WindowAssigner};
use pelton::record::{Record, field};
use pelton::stream::{Collector, DataStream};
use pelton::watermarks::WatermarkStrategy;
use pelton_examples::Output;
use pelton_examples::pages::{DAMPING, links};

/// Ranks pages by the links between them
#[derive(Debug, Parser)]
struct Arguments {
    /// Pages of the web that is made up
    #[arg(long, value_name = "NUMBER", default_value_t = 15)]
    pages: i64,
    /// How often ranks are handed on
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    rounds: u32,
    #[command(flatten)]
    output: Output,
}

/// A page and its rank, or a part of it.
type Rank = (i64, f64);

/// One window for everything.
fn all() -> WindowAssigner {
    TumblingEventTimeWindows::of(Duration::from_secs(1))
}

fn main() -> anyhow::Result<()> {
    let Arguments { pages, rounds, output } = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();
    let links = at_once(env.from_collection(links(pages)));
    let mut ranks: DataStream<Rank> = at_once(env.from_sequence(1, pages).map(move |page| (*page, 1.0 / pages as f64)));
    for round in 1..=rounds {
        // Every page hands its rank on to those that it links to, in equal parts, and says that it is there itself.
        let parts =
            links.clone().co_group(ranks).where_key(field::<0, _>()).equal_to(field::<0, _>()).window(all()).apply(
                |links: &[&(i64, i64)], ranks: &[&Rank], parts: &mut Collector<'_, Rank>| {
                    for &&(page, rank) in ranks {
                        parts.collect((page, 0.0));
                        links.iter().for_each(|(_, to)| parts.collect((*to, rank / links.len() as f64)));
                    }
                },
            );
        ranks = parts
            .name(format!("Hand on {round}"))
            .key_by(field::<0, _>())
            .window(all())
            .sum(field::<1, _>())
            .map(move |(page, sum)| (*page, (1.0 - DAMPING) / pages as f64 + DAMPING * sum));
    }
    output.write(ranks);
    env.execute("PageRank without iterations")?;
    Ok(())
}

/// All records have one event time.
fn at_once<T: Record>(records: DataStream<T>) -> DataStream<T> {
    let times = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|_: &T| 0);
    records.assign_timestamps_and_watermarks(times)
}
