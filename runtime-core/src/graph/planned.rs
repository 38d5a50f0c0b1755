//! What a program in the role `plan` says to the client that started it.
//!
//! Standard output carries exactly one line: [`GRAPH_MARKER`] and the JobGraph's protobuf in hexadecimal digits.
//! Anything else there is the program's own output, which would corrupt the plan sooner or later, so it is refused with
//! the line that was found; programs may print to standard error while they are planned.
//!
//! A program that goes on when its job is submitted begins the line with [`ATTACHED_GRAPH_MARKER`] and waits for a line on
//! standard input, [`Submitted`], or for its end: then there is no job. What it prints afterwards is its own.

use prost::Message;

use crate::graph::{JobGraph, hex};
use crate::id::JobId;
use crate::wire::BadMessage;

/// Names the role a program was started in.
pub const ROLE_VARIABLE: &str = "PELTON_ROLE";

/// The value of [`ROLE_VARIABLE`] in a planning process.
pub const PLAN_ROLE: &str = "plan";

/// Carries the settings of the submission to a planning process, as a JSON object of strings.
pub const PLAN_CONFIGURATION_VARIABLE: &str = "PELTON_PLAN_CONFIGURATION";

/// Comes before the text of the script in the arguments of the program that runs SQL jobs.
pub const SQL_SCRIPT_FLAG: &str = "--script-text";

/// Begins the line that holds the graph.
pub const GRAPH_MARKER: &str = "pelton-job-graph:";

/// Begins the line that holds the graph of a program that goes on.
pub const ATTACHED_GRAPH_MARKER: &str = "pelton-attached-job-graph:";

/// Begins the line that tells such a program its job.
const SUBMITTED_MARKER: &str = "pelton-submitted-job:";

/// What a program is told that goes on when its job is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The job.
    pub job: JobId,
    /// The JobManager, `host:port`.
    pub address: String,
}

impl Submitted {
    /// The line that says so, with its line feed.
    pub fn line(&self) -> String {
        format!("{SUBMITTED_MARKER}{} {}\n", self.job, self.address)
    }

    /// What a line says; none when it says something else.
    pub fn parse(line: &str) -> Option<Self> {
        let (job, address) = line.strip_prefix(SUBMITTED_MARKER)?.trim_end().split_once(' ')?;
        Some(Self { job: job.parse().ok()?, address: address.to_owned() })
    }
}

/// Why what a program printed is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPlan {
    /// The program ended without `execute`.
    #[error(
        "the program ended without calling `execute`, so there is no job to submit; is it built with the `pelton` crate?"
    )]
    NoGraph,
    /// The program ended without `execute` and printed something, a help text perhaps.
    #[error("the program ended without calling `execute`, so there is no job to submit; it printed:\n{printed}")]
    OnlyOutput {
        /// What it printed.
        printed: String,
    },
    /// The program printed while it was planned.
    #[error(
        "the program wrote to standard output while it was planned, first `{line}`: standard output carries the job \
         graph then, so print to standard error (`eprintln!`), or only after `execute`"
    )]
    Output {
        /// The first line of its own output.
        line: String,
    },
    /// The line with the graph cannot be decoded.
    #[error("the program printed a job graph that cannot be decoded; is it built with another version of Pelton?")]
    Undecodable,
    /// The graph is not valid.
    #[error("the program printed a job graph that cannot be run")]
    Invalid(#[from] BadMessage),
}

/// The line that says what the job is, with its line feed.
pub fn plan_line(graph: &JobGraph) -> String {
    format!("{GRAPH_MARKER}{}\n", hex(&graph.to_wire().encode_to_vec()))
}

/// The same of a program that goes on.
pub fn attached_plan_line(graph: &JobGraph) -> String {
    format!("{ATTACHED_GRAPH_MARKER}{}\n", hex(&graph.to_wire().encode_to_vec()))
}

/// The end of the line by which a program says that it goes on, if it has said so.
pub fn end_of_attached_plan(stdout: &[u8]) -> Option<usize> {
    let marker = ATTACHED_GRAPH_MARKER.as_bytes();
    let mut begin = 0;
    loop {
        let end = begin + stdout[begin..].iter().position(|byte| *byte == b'\n')? + 1;
        if stdout[begin..end].starts_with(marker) {
            return Some(end);
        }
        begin = end;
    }
}

/// The graph in what a planning process wrote to its standard output.
///
/// # Errors
///
/// When there is no graph, or something beside it.
pub fn graph_of_output(stdout: &[u8]) -> Result<JobGraph, NotAPlan> {
    let text = String::from_utf8_lossy(stdout);
    let mut graph_line = None;
    let mut own_line = None;
    for line in text.lines() {
        match line.strip_prefix(GRAPH_MARKER).or_else(|| line.strip_prefix(ATTACHED_GRAPH_MARKER)) {
            Some(digits) if graph_line.is_none() => graph_line = Some(digits),
            _ => own_line = own_line.or(Some(line)),
        }
    }
    match (graph_line, own_line) {
        (None, None) => Err(NotAPlan::NoGraph),
        (None, Some(_)) => Err(NotAPlan::OnlyOutput { printed: text.trim_end().to_owned() }),
        (Some(_), Some(line)) => Err(NotAPlan::Output { line: line.to_owned() }),
        (Some(digits), None) => {
            let bytes = unhex(digits).ok_or(NotAPlan::Undecodable)?;
            let message = pelton_proto::JobGraph::decode(bytes.as_slice()).map_err(|_| NotAPlan::Undecodable)?;
            Ok(JobGraph::from_wire(message)?)
        }
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    digits.chunks_exact(2).map(|pair| u8::try_from(nibble(pair[0])? << 4 | nibble(pair[1])?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::graph::{DEFAULT_SLOT_SHARING_GROUP, JobVertex, OperatorNode, OperatorRole};
    use crate::id::{JobVertexId, OperatorId};

    fn graph() -> JobGraph {
        let id = OperatorId::from_bytes([7; 16]);
        let head = OperatorNode {
            id,
            uid: None,
            name: "Source: Numbers".to_owned(),
            role: OperatorRole::Source,
            input: None,
            stock: None,
        };
        let vertex = JobVertex {
            id: JobVertexId::of_head(id),
            name: head.name.clone(),
            parallelism: 2,
            max_parallelism: 128,
            slot_sharing_group: DEFAULT_SLOT_SHARING_GROUP.to_owned(),
            operators: vec![head],
        };
        JobGraph { name: "job".to_owned(), vertices: vec![vertex], edges: vec![], configuration: BTreeMap::new() }
    }

    #[test]
    fn a_graph_survives_its_line() {
        assert_eq!(graph_of_output(plan_line(&graph()).as_bytes()), Ok(graph()));
    }

    #[test]
    fn a_program_that_goes_on_is_told_its_job() {
        let line = attached_plan_line(&graph());
        assert_eq!(end_of_attached_plan(&line.as_bytes()[..line.len() - 1]), None);
        let output = format!("{line}its own\n");
        let end = end_of_attached_plan(output.as_bytes()).unwrap();
        assert_eq!(end, line.len());
        assert_eq!(graph_of_output(&output.as_bytes()[..end]), Ok(graph()));
        assert_eq!(end_of_attached_plan(plan_line(&graph()).as_bytes()), None);
        let submitted = Submitted { job: JobId::from_bytes([3; 16]), address: "[::1]:8081".to_owned() };
        assert_eq!(Submitted::parse(&submitted.line()), Some(submitted));
        assert_eq!(Submitted::parse(""), None);
    }

    #[test]
    fn output_beside_the_graph_is_refused_with_its_first_line() {
        let output = format!("starting\nup\n{}done\n", plan_line(&graph()));
        assert_eq!(graph_of_output(output.as_bytes()), Err(NotAPlan::Output { line: "starting".to_owned() }));
    }

    #[test]
    fn a_program_that_never_executes_is_told_so_with_what_it_printed() {
        assert_eq!(graph_of_output(b""), Err(NotAPlan::NoGraph));
        let help = graph_of_output(b"Usage: job\n").unwrap_err().to_string();
        assert!(help.ends_with("Usage: job"), "{help}");
    }

    #[test]
    fn a_damaged_graph_is_refused() {
        let line = plan_line(&graph());
        let cut = &line[..line.len() - 20];
        assert!(matches!(graph_of_output(cut.as_bytes()), Err(NotAPlan::Undecodable | NotAPlan::Invalid(_))));
        assert_eq!(graph_of_output(b"pelton-job-graph:xyz"), Err(NotAPlan::Undecodable));
    }
}
