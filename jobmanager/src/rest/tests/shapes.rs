//! Every answer has the fields, and the kinds of values, that a real Flink 2.2.1 answered with.
//!
//! `tests/golden/rest-shapes.json` holds, per path, the recorded answer with every value replaced by its kind. A key
//! with a question mark was not in every element; `*` stands for keys that are data.

use pelton_runtime_core::scheduler::status::JobStatus;
use serde_json::{Map, Value};

use super::cluster::{TASK_MANAGER, job_id, window};
use super::get;

const GOLDEN: &str = include_str!("../../../tests/golden/rest-shapes.json");

#[tokio::test]
async fn every_answer_has_flinks_shape() {
    let golden: Map<String, Value> = serde_json::from_str(GOLDEN).expect("the golden shapes are JSON");
    assert!(golden.len() > 50);
    let mut differences = Vec::new();
    for (path, shape) in &golden {
        for prefix in ["", "/v1"] {
            let concrete = format!("{prefix}{}", concrete(path));
            let reply = get(&concrete).await;
            if !reply.status.is_success() {
                differences.push(format!("{concrete}: {} {}", reply.status, reply.text()));
                continue;
            }
            compare(shape, &reply.json(), "", &mut |place, what| {
                differences.push(format!("{concrete} at {place}: {what}"));
            });
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The paths of all recorded answers, with the made-up cluster's ids.
pub(super) fn known_paths() -> Vec<String> {
    let golden: Map<String, Value> = serde_json::from_str(GOLDEN).expect("the golden shapes are JSON");
    golden.keys().map(|path| concrete(path)).collect()
}

fn concrete(path: &str) -> String {
    path.replace(":running", &job_id(JobStatus::Running).to_string())
        .replace(":finished", &job_id(JobStatus::Finished).to_string())
        .replace(":failed", &job_id(JobStatus::Failed).to_string())
        .replace(":v", &window().to_string())
        .replace(":tm", TASK_MANAGER)
}

fn compare(shape: &Value, value: &Value, place: &str, differ: &mut dyn FnMut(&str, String)) {
    match (shape, value) {
        (Value::String(kind), _) if kind == kind_of(value) => {}
        (Value::Array(element), Value::Array(values)) => {
            if let Some(element) = element.first() {
                values.iter().for_each(|value| compare(element, value, &format!("{place}[]"), differ));
            }
        }
        (Value::Object(fields), Value::Object(values)) => compare_fields(fields, values, place, differ),
        _ => differ(place, format!("expected {shape}, found {value}")),
    }
}

fn compare_fields(
    fields: &Map<String, Value>,
    values: &Map<String, Value>,
    place: &str,
    differ: &mut dyn FnMut(&str, String),
) {
    if let Some(any) = fields.get("*") {
        values.iter().for_each(|(key, value)| compare(any, value, &format!("{place}/{key}"), differ));
        return;
    }
    for (name, shape) in fields {
        let (name, is_optional) = name.strip_prefix('?').map_or((name.as_str(), false), |name| (name, true));
        let place = format!("{place}/{name}");
        match values.get(name) {
            Some(value) => compare(shape, value, &place, differ),
            None if is_optional => {}
            None => differ(&place, "is missing".to_owned()),
        }
    }
    for name in values.keys() {
        if !fields.contains_key(name) && !fields.contains_key(&format!("?{name}")) {
            differ(&format!("{place}/{name}"), "is not in Flink's answer".to_owned());
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
