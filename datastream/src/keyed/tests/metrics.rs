//! Metrics that a user's function measures, as the cluster's REST API shows them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::keyed::{FunctionResult, OpenContext, ProcessContext, ProcessFunction};
use crate::metrics::{Counter, Gauge, Histogram, Meter};
use crate::sources::DataGeneratorSource;
use crate::stream::Collector;
use crate::testing::mini_cluster;
use crate::watermarks::WatermarkStrategy;

/// Measures numbers in every way there is.
#[derive(Clone, Default)]
struct Measured(Option<(Counter, Gauge, Meter, Histogram)>);

impl ProcessFunction for Measured {
    type In = i64;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        let metrics = &ctx.runtime().metrics;
        let (last, sizes) = (metrics.gauge("last"), metrics.histogram("sizes"));
        self.0 = Some((metrics.counter("seen"), last, metrics.meter("events"), sizes));
        Ok(())
    }

    fn process_element(
        &mut self,
        number: &i64,
        _ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        if let Some((seen, last, events, sizes)) = &self.0 {
            seen.add(1);
            last.set(*number as f64);
            events.mark_many(2);
            sizes.update(7.0);
        }
        out.collect(*number);
        Ok(())
    }
}

/// The body of the answer to a request.
fn get(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("the REST API is there");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    body.to_owned()
}

/// How often the API is asked before the test gives up; tasks report twice a second.
const GLANCES: u32 = 1200;

#[test]
fn metrics_of_a_users_function_are_shown_by_rest() {
    let env = mini_cluster(1);
    let numbers = DataGeneratorSource::<i64>::new(|number| number as i64).rows_per_second(1000.0);
    let numbers = env.from_source(numbers, WatermarkStrategy::no_watermarks(), "numbers");
    numbers.process(Measured::default()).name("Measured").discard();
    let job = env.execute_async("measured").unwrap();
    let (address, id) = (job.rest_address().expect("the cluster is of this process"), job.job_id());

    let details: serde_json::Value = serde_json::from_str(&get(address, &format!("/jobs/{id}"))).unwrap();
    let vertices = details["vertices"].as_array().expect("vertices");
    let vertex = vertices.iter().find(|vertex| vertex["name"].as_str().unwrap().contains("Measured")).unwrap();
    let metrics = format!("/jobs/{id}/vertices/{}/metrics", vertex["id"].as_str().expect("an id"));
    let names = ["seen", "last", "events", "sizes_median", "sizes_max"].map(|name| format!("0.Measured.{name}"));
    let shown = || {
        let body = get(address, &format!("{metrics}?get={}", names.join(",")));
        let values: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
        let value = |name: &String| {
            let value = values.iter().find(|value| value["id"] == *name.as_str())?;
            value["value"].as_str()?.parse::<f64>().ok()
        };
        names.iter().map(value).collect::<Option<Vec<f64>>>().filter(|values| values.iter().all(|value| *value > 0.0))
    };
    let values = (0..GLANCES).find_map(|_| {
        let shown = shown();
        if shown.is_none() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        shown
    });
    assert_eq!(values.expect("all are shown")[3..], [7.0, 7.0]);

    let listed = get(address, &metrics);
    assert!(names.iter().all(|name| listed.contains(name.as_str())), "{listed}");
    job.cancel();
    job.wait().unwrap_err();
}
