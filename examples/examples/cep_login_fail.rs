//! Finds accounts that somebody may have broken into: failed logins one after the other and then a successful one, all
//! within a minute; and beside them accounts at which somebody failed and nothing came of it.
//!
//! ```sh
//! cargo run --example cep_login_fail
//! ```

use std::time::Duration;

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::cep::{AfterMatchSkipStrategy, Pattern};
use pelton::record::Record;
use pelton::stream::OutputTag;
use pelton::watermarks::WatermarkStrategy;
use pelton_examples::Output;

/// Finds accounts that somebody may have broken into
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Record)]
struct Login {
    second: i64,
    user: String,
    address: String,
    succeeded: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();
    let logins = [
        (0, "ann", "10.0.0.1", true),
        (3, "bob", "10.0.0.2", false),
        (5, "eve", "172.16.0.9", false),
        (4, "eve", "172.16.0.9", false),
        (9, "eve", "172.16.0.9", false),
        (12, "bob", "10.0.0.2", true),
        (15, "eve", "172.16.0.9", true),
        (20, "ann", "10.0.0.1", false),
        (21, "ann", "10.0.0.1", false),
        (95, "ann", "10.0.0.1", true),
    ];
    let logins = logins.map(|(second, user, address, succeeded)| Login {
        second,
        user: user.to_owned(),
        address: address.to_owned(),
        succeeded,
    });
    let times = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(5))
        .with_timestamp_assigner(|login: &Login| login.second * 1000);

    let broken_into = Pattern::begin("failures")
        .where_event(|login: &Login| !login.succeeded)
        .times_or_more(2)
        .consecutive()
        .greedy()
        .next("success")
        .where_event(|login| login.succeeded)
        .within(Duration::from_secs(60))
        .after_match(AfterMatchSkipStrategy::skip_past_last_event());
    let given_up = OutputTag::new("given up");
    let alerts = env
        .from_elements(logins)
        .assign_timestamps_and_watermarks(times)
        .key_by(Login::user)
        .pattern(broken_into)
        .select_with_timeout(
            &given_up,
            |partial, _| {
                let first = partial.first("failures");
                format!("{} failed from second {} on and gave up", first.user, first.second)
            },
            |found| {
                let success = found.first("success");
                let failures = found.get("failures").count();
                format!("ALERT {} from {} after {failures} failures", success.user, success.address)
            },
        );
    arguments.output.write(alerts.get_side_output(&given_up));
    arguments.output.write(alerts);
    env.execute("Logins that fail")?;
    Ok(())
}
