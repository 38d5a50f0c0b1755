//! Finds pairs of figures of one color that a rule looks for, with rules that come while the job runs.
//!
//! Figures are partitioned by color; rules go to every subtask. A rule also applies to figures that came before it, so
//! the result does not depend on which of the two streams is faster.
//!
//! ```sh
//! cargo run --example broadcast_rules
//! ```

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::connected::KeyedBroadcastProcessFunction;
use pelton::keyed::{FunctionResult, KeyedBroadcastContext, KeyedContext, ListState, OpenContext};
use pelton::operator_state::BroadcastState;
use pelton::record::Record;
use pelton::stream::Collector;
use pelton_examples::Output;

/// Finds pairs of figures of one color that a rule looks for
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, PartialEq, Record)]
enum Shape {
    Rectangle,
    Triangle,
    Circle,
}

#[derive(Debug, Clone, Record)]
struct Figure {
    color: String,
    shape: Shape,
    number: i64,
}

/// Looks for a figure of one shape that is followed by one of another.
#[derive(Debug, Clone, Record)]
struct Rule {
    name: String,
    first: Shape,
    second: Shape,
}

/// Rule, color and the numbers of both figures.
type Match = (String, String, i64, i64);

#[derive(Clone)]
struct MatchRules {
    figures: ListState<Figure>,
    rules: BroadcastState<String, Rule>,
}

impl KeyedBroadcastProcessFunction for MatchRules {
    type Key = String;
    type In = Figure;
    type Broadcast = Rule;
    type Out = Match;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.figures)?;
        ctx.register(&mut self.rules)
    }

    fn process_element(
        &mut self,
        figure: &Figure,
        ctx: &mut KeyedContext<'_, String>,
        matches: &mut Collector<'_, Match>,
    ) -> FunctionResult {
        for (name, rule) in self.rules.entries(ctx)?.filter(|(_, rule)| rule.second == figure.shape) {
            for first in self.figures.get(ctx)?.iter().filter(|first| first.shape == rule.first) {
                matches.collect((name.as_str(), figure.color.as_str(), first.number, figure.number));
            }
        }
        Ok(self.figures.add(ctx, figure.clone())?)
    }

    fn process_broadcast_element(
        &mut self,
        rule: &Rule,
        ctx: &mut KeyedBroadcastContext<'_, String>,
        matches: &mut Collector<'_, Match>,
    ) -> FunctionResult {
        self.rules.put(ctx, rule.name.clone(), rule.clone())?;
        let figures = self.figures.clone();
        ctx.apply_to_keyed_state(|color, ctx| {
            let figures = figures.get(ctx)?;
            for (index, second) in figures.iter().enumerate().filter(|(_, second)| second.shape == rule.second) {
                for first in figures[..index].iter().filter(|first| first.shape == rule.first) {
                    matches.collect((rule.name.as_str(), color.as_str(), first.number, second.number));
                }
            }
            Ok(())
        })
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();

    let figures = [
        ("red", Shape::Rectangle),
        ("blue", Shape::Triangle),
        ("red", Shape::Triangle),
        ("blue", Shape::Rectangle),
        ("red", Shape::Circle),
        ("blue", Shape::Circle),
        ("blue", Shape::Triangle),
        ("red", Shape::Triangle),
    ];
    let figures = (1..).zip(figures).map(|(number, (color, shape))| Figure { color: color.to_owned(), shape, number });
    let rules = [
        ("rectangle-triangle", Shape::Rectangle, Shape::Triangle),
        ("triangle-circle", Shape::Triangle, Shape::Circle),
    ];
    let rules = rules.map(|(name, first, second)| Rule { name: name.to_owned(), first, second });

    let matches = env
        .from_collection(figures)
        .key_by(Figure::color)
        .connect_broadcast(env.from_elements(rules))
        .process(MatchRules { figures: ListState::new("figures"), rules: BroadcastState::new("rules") });
    arguments.output.write(matches);

    env.execute("BroadcastRules")?;
    Ok(())
}
