//! The plan as Flink's JSON shows it.
