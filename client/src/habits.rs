//! Flink's client takes options of several letters after one dash, such as `-cm claim` or `-detached`. People and
//! scripts are used to them, so they are read as the long options that they are.
//!
//! Only what is the client's own is touched: of `run` and `info` nothing from the program on.

use std::ffi::OsString;

use clap::CommandFactory;

use crate::command::Command;

/// Options of several letters after one dash, and what they are called here.
const HABITS: [(&str, &str); 12] = [
    ("-allowNonRestoredState", "--allowNonRestoredState"),
    ("-claimMode", "--claimMode"),
    ("-cm", "--claimMode"),
    ("-detached", "--detached"),
    ("-dispose", "--dispose"),
    ("-drain", "--drain"),
    ("-fromSavepoint", "--fromSavepoint"),
    ("-full", "--full"),
    ("-restoreMode", "--claimMode"),
    ("-rm", "--claimMode"),
    ("-savepointPath", "--savepointPath"),
    ("-type", "--type"),
];

/// The command line with long options in place of those.
pub fn translated(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let client = Command::command();
    let takes_value = |argument: &str, verb: Option<&clap::Command>| {
        let known = client.get_arguments().chain(verb.into_iter().flat_map(clap::Command::get_arguments));
        let takes = known.filter(|option| !option.is_positional() && option.get_action().takes_values());
        takes.into_iter().any(|option| {
            let long = option.get_long_and_visible_aliases().unwrap_or_default();
            let short = option.get_short().map(|short| format!("-{short}"));
            long.iter().any(|long| argument == format!("--{long}")) || short.as_deref() == Some(argument)
        })
    };
    let mut verb: Option<&clap::Command> = None;
    let mut is_value = false;
    let mut others = false;
    let translate = |(index, argument): (usize, OsString)| {
        let Some(text) = argument.to_str() else { return argument };
        if index == 0 || others || std::mem::take(&mut is_value) {
            return argument;
        }
        let text = HABITS.iter().find(|(habit, _)| *habit == text).map_or(text, |(_, long)| *long);
        if text == "--" {
            others = true;
        } else if text.starts_with('-') {
            is_value = takes_value(text, verb);
        } else if verb.is_none() {
            verb = client.find_subcommand(text);
        } else {
            // A program, and whatever follows is its own.
            others = verb.is_some_and(|verb| ["run", "info"].contains(&verb.get_name()));
        }
        OsString::from(text)
    };
    arguments.into_iter().enumerate().map(translate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let found = translated(line.split(' ').map(OsString::from));
        let found: Vec<&str> = found.iter().filter_map(|argument| argument.to_str()).collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn options_of_several_letters_are_read_as_long_ones() {
        check("client run -s -cm -cm claim -p 2 job -cm", "client run -s -cm --claimMode claim -p 2 job -cm");
        check("client -Drest.port=1 run -rm claim job", "client -Drest.port=1 run --claimMode claim job");
        check("client stop 00 -drain", "client stop 00 --drain");
        check("client stop -m host:1 -p /dir -detached 00", "client stop -m host:1 -p /dir --detached 00");
        check("client savepoint 00 /dir -type native", "client savepoint 00 /dir --type native");
    }
}
