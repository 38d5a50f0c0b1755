//! Joins the grades and the salaries of people who have the same name, as Flink's example of this name: every pair in a
//! window of two seconds is a result, `(name,grade,salary)`.
//!
//! ```sh
//! cargo run --example window_join -- --pairs 20
//! ```

use std::time::Duration;

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::keyed::TumblingEventTimeWindows;
use pelton::record::Record;
use pelton::sources::DataGeneratorSource;
use pelton::stream::DataStream;
use pelton::watermarks::WatermarkStrategy;
use pelton_examples::{Output, people};

/// Joins the grades and the salaries of people who have the same name
#[derive(Debug, Parser)]
struct Arguments {
    /// The length of windows in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2000)]
    window_size: u64,
    /// Grades, and salaries, per second of event time
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    rate: i64,
    /// Ends after so many grades and salaries [default: goes on until it is cancelled, at the rate of event time]
    #[arg(long, value_name = "NUMBER")]
    pairs: Option<u64>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Record)]
struct Grade {
    name: String,
    grade: i32,
    time: i64,
}

#[derive(Debug, Clone, Record)]
struct Salary {
    name: String,
    salary: i32,
    time: i64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();

    let millis = 1000 / arguments.rate.max(1);
    let grades = generated(&env, &arguments, "grades", Grade::time, move |index| {
        let (name, grade) = people::grade(index);
        Grade { name: name.to_owned(), grade, time: index as i64 * millis }
    });
    let salaries = generated(&env, &arguments, "salaries", Salary::time, move |index| {
        let (name, salary) = people::salary(index);
        Salary { name: name.to_owned(), salary, time: index as i64 * millis }
    });
    let joined = grades
        .join(salaries)
        .where_key(Grade::name)
        .equal_to(Salary::name)
        .window(TumblingEventTimeWindows::of(Duration::from_millis(arguments.window_size)))
        .apply(|grade, salary| (grade.name.clone(), grade.grade, salary.salary));
    arguments.output.write(joined);

    env.execute("Windowed Join Example")?;
    Ok(())
}

fn generated<T: Record>(
    env: &StreamExecutionEnvironment,
    arguments: &Arguments,
    name: &str,
    time: pelton::record::Column<T, i64>,
    make: impl Fn(u64) -> T + Send + Sync + 'static,
) -> DataStream<T> {
    let source = DataGeneratorSource::new(make);
    let source = match arguments.pairs {
        Some(count) => source.count(count),
        None => source.rows_per_second(arguments.rate as f64),
    };
    let strategy = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(time);
    env.from_source(source, strategy, name).set_parallelism(1)
}
