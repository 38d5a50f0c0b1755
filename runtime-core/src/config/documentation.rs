//! `docs/configuration.md`, written from the tables so that it cannot grow stale.

use std::fmt::Write;

use super::option::{AnyOption, Section};
use super::options;

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from `runtime-core/src/config/`. After a change there, run
     `PELTON_UPDATE_DOCS=1 cargo test -p pelton-runtime-core --lib config::documentation`. -->

Pelton is configured with Flink's keys, in Flink's forms. Its own keys start with `pelton.`.

## Where settings come from

From the strongest to the weakest:

1. `-Dkey=value` on the command line of any binary, as often as needed; the last one of a key wins.
2. Environment variables `PELTON_` + the key in capitals with `_` for `.` and `-`: `PELTON_REST_PORT=8082`. An empty
   variable counts as not set.
3. The environment variable `FLINK_PROPERTIES`: one `key: value` per line, as in Flink's images. `$NAME` and `${NAME}`
   stand for other environment variables, and for nothing where those are not set. A key without a value counts as not
   set.
4. The file `config.yaml` in the configuration folder. Keys may be nested, dotted or both.
5. The default.

What `client run` is given by the first two counts for the job it submits. By the others only `parallelism.default`,
`pipeline.*`, `execution.*`, `restart-strategy.*` and `state.*` do; the rest of them describes the client's own process.

The configuration folder is the one after `--configDir`, else `PELTON_CONF_DIR`, else `FLINK_CONF_DIR`, else `conf`
beside `bin`. Only the last of these may be missing. Logs go to `PELTON_LOG_DIR`, else `FLINK_LOG_DIR`, else
`env.log.dir`, else `log` beside `bin`.

## What is refused

A process starts only with a configuration that it understands. It reports everything that is wrong at once, each
with key, value, expected form and place (file and line, variable, or `-D`):

- a key that neither Pelton nor Flink has, with the nearest one that exists;
- a value that has not the form of its key, or contradicts another value;
- the same key twice in `config.yaml` or in `FLINK_PROPERTIES`.

A key that Flink has and Pelton does not act on is a warning in the log, once, with the reason. So an existing
`config.yaml` can be used as it is. Old names of keys work, with a warning.

## Forms of values

| Type | Form |
|---|---|
| Duration | A number and a unit (`d`, `h`, `min`, `s`, `ms`, `µs`, `ns`, or their English names): `10 s`, `100ms`. Or ISO 8601: `PT1M30S`. A bare number is milliseconds. |
| MemorySize | A number and a unit of 1024 (`b`, `k`, `m`, `g`, `t`, with or without `b`): `1728m`, `4 gb`. A bare number is bytes. |
| Ports | A port, a range, or a list of both: `8081`, `8081-8090`, `8081,9000-9010`. The first free one is taken, 0 means any. |
| List | A YAML list, or `a;b`. An element with a separator is quoted: `'a;b';c`. |
| Map | A YAML map, or `k1:v1,k2:v2`. |
| Boolean | `true` or `false`. |
| Enum | A name; case and `-` or `_` do not matter. |

Values of keys with `password`, `secret`, `token` and the like in their names are shown as `******` everywhere.

## How memory is divided

One number is enough: `taskmanager.memory.process.size`, for a TaskManager with all of its workers.

```text
process.size ─┬─ overhead       what no budget governs: code, stacks, the allocator's reserve
              └─ flink.size ─┬─ framework   supervisor's and workers' own structures
                             ├─ task        operators, user code and the batches they hold
                             ├─ managed     state, sorting, caches ─┐ split evenly
                             └─ network     data between tasks     ─┘ among the slots
```

Flink's formulas apply, with one difference: a native process has no metaspace, so `jvm-metaspace.size` has no effect
and what Flink sets aside for it goes to the other parts. If task heap and managed size are both set, they
determine the whole; else `flink.size` does, else `process.size`, else 1728 MiB.
";

/// The documentation page of all options.
pub fn render_docs() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in options::SECTIONS {
        render_section(section, &mut page).expect("writing to a string cannot fail");
    }
    page
}

fn render_section(section: &Section, page: &mut String) -> std::fmt::Result {
    writeln!(page, "\n## {}\n\n| Key | Default | Type | Meaning |\n|---|---|---|---|", section.title)?;
    for option in section.options {
        let (key, kind) = (option.key(), option.type_name());
        writeln!(page, "| `{key}` | {} | {kind} | {} |", default_cell(*option), meaning_cell(*option))?;
    }
    Ok(())
}

fn default_cell(option: &dyn AnyOption) -> String {
    let shown = option.shown_default();
    let is_the_default = option.default() == Some(shown);
    if is_the_default { format!("`{shown}`") } else { shown.to_owned() }
}

fn meaning_cell(option: &dyn AnyOption) -> String {
    let meaning = option.meaning().replace('|', "\\|");
    let is_option = |key: &&&str| options::all().any(|other| other.key() == **key);
    let old: Vec<_> = option.fallback_keys().iter().filter(|key| !is_option(key)).collect();
    match old.as_slice() {
        [] => meaning,
        [only] => format!("{meaning} Old name: `{only}`."),
        several => {
            let names: Vec<_> = several.iter().map(|name| format!("`{name}`")).collect();
            format!("{meaning} Old names: {}.", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_page_in_docs_is_what_the_tables_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let page = render_docs();
        if std::env::var_os("PELTON_UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written == page, "docs/configuration.md is stale; set PELTON_UPDATE_DOCS=1 and run this test again");
    }
}
