//! What the demo's results come to: one line per carrier.

use std::collections::BTreeMap;

/// Adds up the results of the year.
#[derive(Debug, Default)]
pub struct Summary {
    carriers: BTreeMap<String, Carrier>,
}

#[derive(Debug, Default)]
struct Carrier {
    scheduled: u64,
    cancelled: u64,
    delay_minutes: f64,
}

impl Summary {
    /// Adds a result `(hour,carrier,origin,scheduled,cancelled,mean delay)`; anything else is passed over.
    pub fn add(&mut self, line: &str) {
        let fields: Vec<&str> = line.trim_matches(['(', ')']).split(',').collect();
        let [_, carrier, _, scheduled, cancelled, mean] = fields[..] else { return };
        let (Ok(scheduled), Ok(cancelled)) = (scheduled.parse::<u64>(), cancelled.parse::<u64>()) else { return };
        let sums = self.carriers.entry(carrier.to_owned()).or_default();
        sums.scheduled += scheduled;
        sums.cancelled += cancelled;
        // Of an hour without departures there is no mean.
        let mean: f64 = mean.parse().unwrap_or(0.0);
        sums.delay_minutes += mean * scheduled.saturating_sub(cancelled) as f64;
    }

    /// A table, the latest carrier first. `airlines` is the CSV file of their names.
    pub fn table(&self, airlines: &str) -> String {
        let names: BTreeMap<&str, &str> = airlines.lines().filter_map(|line| line.split_once(',')).collect();
        let mut carriers: Vec<_> = self.carriers.iter().map(|(code, sums)| (sums.mean_minutes(), code, sums)).collect();
        carriers.sort_by(|a, b| b.0.total_cmp(&a.0));
        let rows = carriers.iter().map(|(mean, code, sums)| {
            let name = names.get(code.as_str()).copied().unwrap_or_default();
            format!("{mean:>8.1}  {:>9}  {:>9}  {code} {name}\n", sums.scheduled, sums.cancelled)
        });
        format!("  minutes  scheduled  cancelled  carrier\n{}", rows.collect::<String>())
    }
}

impl Carrier {
    fn mean_minutes(&self) -> f64 {
        self.delay_minutes / (self.scheduled - self.cancelled).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_weighted_by_their_departures_and_cancelled_flights_have_no_delay() {
        let mut summary = Summary::default();
        for line in ["(h1,UA,EWR,2,0,10.0)", "(h2,UA,JFK,1,1,null)", "(h2,UA,LGA,2,1,-5.0)", "(h1,AA,JFK,1,0,7.0)", "-"]
        {
            summary.add(line);
        }
        let table = summary.table("carrier,name\nUA,United\n");
        let rows: Vec<String> =
            table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(rows, ["7.0 1 0 AA", "5.0 5 2 UA United"]);
    }
}
