//! Parameters of a program, from its command line or a file: Flink's `ParameterTool`.
//!
//! ```
//! use pelton::parameters::Parameters;
//!
//! # fn main() -> Result<(), pelton::parameters::ParameterError> {
//! let parameters = Parameters::from_args(["--input", "in.csv", "-rate", "-5", "--verbose"])?;
//! assert_eq!(parameters.required("input")?, "in.csv");
//! assert_eq!(parameters.get_or("rate", 10)?, -5);
//! assert_eq!(parameters.get_or("windows", 3)?, 3);
//! assert!(parameters.has("verbose"));
//! # Ok(())
//! # }
//! ```
//!
//! [`StreamExecutionEnvironment::set_job_parameters`](crate::StreamExecutionEnvironment::set_job_parameters) makes them go with the job: REST
//! shows them, and functions read them with [`OpenContext::job_parameters`](crate::keyed::OpenContext::job_parameters).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Why parameters cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ParameterError {
    /// An argument is no parameter.
    #[error("`{argument}` is no parameter: parameters are `--name value`, `-name value` or `--name`")]
    NoName {
        /// The argument.
        argument: String,
    },
    /// A parameter that must be there is not.
    #[error("the parameter `--{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A value is not of the type that is wanted.
    #[error("the parameter `--{name}` is `{value}`, expected {expected}: {reason}")]
    Malformed {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// The type's name.
        expected: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read the parameters in {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line of a file is no parameter.
    #[error("line {line} of {path} is no parameter: expected `name=value`, a comment or nothing")]
    MalformedLine {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// Values by name. See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Parameters as `--name value`, `-name value`, or `--name` alone, whose value is empty. Of one that comes twice the last
    /// counts. What follows a name is its value unless it begins with a dash and is no number.
    ///
    /// # Errors
    ///
    /// When an argument is neither a name nor a value.
    pub fn from_args(arguments: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ParameterError> {
        let mut parameters = BTreeMap::new();
        let mut arguments = arguments.into_iter().map(Into::into).peekable();
        while let Some(argument) = arguments.next() {
            let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
            let Some(name) = name.filter(|name| !name.is_empty()) else {
                return Err(ParameterError::NoName { argument });
            };
            let is_value = |next: &String| !next.starts_with('-') || next.parse::<f64>().is_ok();
            let value = arguments.next_if(is_value).unwrap_or_default();
            parameters.insert(name.to_owned(), value);
        }
        Ok(Self(parameters))
    }

    /// Parameters of the program's own command line.
    ///
    /// # Errors
    ///
    /// As [`from_args`](Self::from_args).
    pub fn from_command_line() -> Result<Self, ParameterError> {
        Self::from_args(std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()))
    }

    /// Parameters as lines `name=value` of a file; lines that begin with `#` or `!` are comments.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a line is something else.
    pub fn from_properties_file(path: impl AsRef<Path>) -> Result<Self, ParameterError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ParameterError::Unreadable { path: path.to_owned(), source })?;
        let mut parameters = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| ParameterError::MalformedLine { path: path.to_owned(), line: number + 1 })?;
            parameters.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(Self(parameters))
    }

    pub(crate) fn from_map(parameters: BTreeMap<String, String>) -> Self {
        Self(parameters)
    }

    /// These, and those of `others` where these have none.
    #[must_use]
    pub fn merged_with(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// Whether there is a parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of this name, which must be there.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn required(&self, name: &str) -> Result<&str, ParameterError> {
        self.get(name).ok_or_else(|| ParameterError::Missing { name: name.to_owned() })
    }

    /// The value of this name as a `T`, or `default` when there is none.
    ///
    /// # Errors
    ///
    /// When there is one, and it is no `T`.
    pub fn get_or<T: FromStr<Err: std::fmt::Display>>(&self, name: &str, default: T) -> Result<T, ParameterError> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.parse().map_err(|error: T::Err| ParameterError::Malformed {
            name: name.to_owned(),
            value: value.to_owned(),
            expected: std::any::type_name::<T>(),
            reason: error.to_string(),
        })
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_parameter_is_said() {
        let error = Parameters::from_args(["input"]).unwrap_err().to_string();
        assert!(error.starts_with("`input` is no parameter"), "{error}");
        let parameters = Parameters::from_args(["--rate", "fast"]).unwrap();
        assert_eq!(parameters.required("input").unwrap_err().to_string(), "the parameter `--input` is missing");
        let error = parameters.get_or("rate", 1u32).unwrap_err().to_string();
        assert_eq!(error, "the parameter `--rate` is `fast`, expected u32: invalid digit found in string");
    }

    #[test]
    fn files_have_a_parameter_per_line_and_yield_to_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.properties");
        std::fs::write(&path, "# a comment\nrate = 5\n\ninput=a=b\n").unwrap();
        let file = Parameters::from_properties_file(&path).unwrap();
        let all = Parameters::from_args(["--rate", "7"]).unwrap().merged_with(file);
        assert_eq!(all.iter().collect::<Vec<_>>(), [("input", "a=b"), ("rate", "7")]);
        std::fs::write(&path, "rate = 5\nrate\n").unwrap();
        let error = Parameters::from_properties_file(&path).unwrap_err().to_string();
        assert!(error.starts_with("line 2 of "), "{error}");
    }

    #[test]
    fn parameters_go_with_the_job_to_its_functions() {
        use crate::keyed::{FunctionResult, OpenContext, ProcessContext, ProcessFunction};
        use crate::stream::Collector;

        #[derive(Clone, Default)]
        struct Times(i64);

        impl ProcessFunction for Times {
            type In = i64;
            type Out = i64;

            fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
                self.0 = ctx.job_parameters()?.get_or("times", 1)?;
                Ok(())
            }

            fn process_element(
                &mut self,
                number: &i64,
                _ctx: &mut ProcessContext<'_>,
                out: &mut Collector<'_, i64>,
            ) -> FunctionResult {
                out.collect(number * self.0);
                Ok(())
            }
        }

        let env = crate::testing::mini_cluster(1);
        env.set_job_parameters(&Parameters::from_args(["--times", "3", "--note", "a, b: c"]).unwrap()).unwrap();
        assert_eq!(env.job_parameters()["note"], "a, b: c");
        let found = env.from_sequence(1, 3).process(Times::default()).execute_and_collect("times").unwrap();
        assert_eq!(found.collect::<Result<Vec<_>, _>>().unwrap(), [3, 6, 9]);
    }
}
