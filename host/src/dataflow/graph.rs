//! The shape of a pipeline: which output feeds what, and how that is cut into stages.
//!
//! A *stage* is what a worker does with rows without handing them to another worker. Each source
//! begins one (decode, then the operators that need no key); each operator with a key begins one,
//! because its rows must first travel to the worker that owns their key. Operators without a key
//! run in the stage that feeds them.

use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::endpoint::Wants;

/// An output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The rows of a source.
    Source(usize),
    /// A port of an operator; 0 is the main output.
    Operator {
        /// Index of the operator.
        index: usize,
        /// Port of the operator.
        port: usize,
    },
}

/// A source in the graph.
#[derive(Clone, Debug)]
pub struct SourceNode {
    /// Name in the pipeline.
    pub name: String,
    /// How far its watermark stays behind its newest event; `None` without event time.
    pub out_of_orderness: Option<Duration>,
}

/// An operator in the graph.
#[derive(Clone, Debug)]
pub struct OperatorNode {
    /// Name in the pipeline.
    pub name: String,
    /// What feeds it.
    pub inputs: Vec<Origin>,
    /// Index of the key among the columns of its input.
    pub key: Option<usize>,
}

/// A sink in the graph.
#[derive(Clone, Debug)]
pub struct SinkNode {
    /// Name in the pipeline.
    pub name: String,
    /// What feeds it.
    pub inputs: Vec<Origin>,
    /// Schema of its rows.
    pub schema: SchemaRef,
    /// Columns that it keeps, in order; all when absent.
    pub fields: Option<Vec<String>>,
    /// What it wants to know of rows.
    pub wants: Wants,
    /// Index of the column whose text is each record's key.
    pub key: Option<usize>,
    /// Longest record in bytes that it takes; a longer one is a dead letter.
    pub max_record_bytes: Option<usize>,
}

/// A pipeline as a graph. Operators are in topological order.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Sources.
    pub sources: Vec<SourceNode>,
    /// Operators, each after those that feed it.
    pub operators: Vec<OperatorNode>,
    /// Sinks.
    pub sinks: Vec<SinkNode>,
    /// The sink that takes dead letters.
    pub dead_letters: Option<usize>,
}

/// What is fed by an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An operator of the same stage.
    Operator(usize),
    /// The keyed stage with this index, on the worker that owns the key.
    Stage(usize),
    Sink(usize),
}

/// Where a stage begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Source(usize),
    Operator(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub root: Root,
    /// Operators that run in it, the root first.
    pub operators: Vec<usize>,
    /// Keyed stages fed by it.
    pub stages: Vec<usize>,
    /// Sinks fed by it, the one for dead letters among them.
    pub sinks: Vec<usize>,
    /// Sources whose rows come here.
    pub sources: Vec<usize>,
}

/// A graph cut into stages.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Intake stages first, one a source, then keyed stages in topological order.
    pub stages: Vec<Stage>,
    sources: Vec<Vec<Target>>,
    /// Per operator and port.
    operators: Vec<Vec<Vec<Target>>>,
}

impl Layout {
    pub(crate) fn of(graph: &Graph) -> Self {
        let intakes = graph.sources.len();
        let keyed: Vec<usize> = (0..graph.operators.len()).filter(|&o| graph.operators[o].key.is_some()).collect();
        let mut layout = Self {
            stages: Vec::new(),
            sources: vec![Vec::new(); intakes],
            operators: vec![Vec::new(); graph.operators.len()],
        };
        for (index, operator) in graph.operators.iter().enumerate() {
            let target = match keyed.iter().position(|&k| k == index) {
                Some(at) => Target::Stage(intakes + at),
                None => Target::Operator(index),
            };
            operator.inputs.iter().for_each(|&origin| layout.feed(origin, target));
        }
        for (index, sink) in graph.sinks.iter().enumerate() {
            sink.inputs.iter().for_each(|&origin| layout.feed(origin, Target::Sink(index)));
        }
        let roots = (0..intakes).map(Root::Source).chain(keyed.iter().map(|&k| Root::Operator(k)));
        layout.stages = roots.map(|root| layout.stage(root, graph.dead_letters)).collect();
        // Stages are in topological order, so one pass carries each source to all that it reaches.
        for index in 0..layout.stages.len() {
            if let Root::Source(source) = layout.stages[index].root {
                layout.stages[index].sources.push(source);
            }
            let (sources, next) = (layout.stages[index].sources.clone(), layout.stages[index].stages.clone());
            for stage in next {
                let known = &mut layout.stages[stage].sources;
                sources.iter().for_each(|&s| add(known, s));
            }
        }
        layout
    }

    /// What an output feeds.
    pub(crate) fn targets(&self, origin: Origin) -> &[Target] {
        match origin {
            Origin::Source(source) => &self.sources[source],
            Origin::Operator { index, port } => self.operators[index].get(port).map_or(&[], Vec::as_slice),
        }
    }

    /// For each source, the number of parts of a block that a keyed stage gets.
    pub(crate) fn parts_at_stage(&self, stage: usize, sources: usize, workers: usize) -> Vec<u32> {
        self.parts(sources, workers, |s| s.stages.contains(&stage))
    }

    /// For each source, the number of parts of a block that a sink gets.
    pub(crate) fn parts_at_sink(&self, sink: usize, sources: usize, workers: usize) -> Vec<u32> {
        self.parts(sources, workers, |s| s.sinks.contains(&sink))
    }

    /// An intake stage sends one part of a block, as one worker takes the block; a keyed stage
    /// sends one from every worker.
    fn parts(&self, sources: usize, workers: usize, feeds: impl Fn(&Stage) -> bool) -> Vec<u32> {
        let mut parts = vec![0; sources];
        for stage in self.stages.iter().filter(|s| feeds(s)) {
            let each = if matches!(stage.root, Root::Source(_)) { 1 } else { workers as u32 };
            stage.sources.iter().for_each(|&s| parts[s] += each);
        }
        parts
    }

    fn feed(&mut self, origin: Origin, target: Target) {
        let targets = match origin {
            Origin::Source(source) => &mut self.sources[source],
            Origin::Operator { index, port } => {
                let ports = &mut self.operators[index];
                if ports.len() <= port {
                    ports.resize(port + 1, Vec::new());
                }
                &mut ports[port]
            }
        };
        add(targets, target);
    }

    fn stage(&self, root: Root, dead_letters: Option<usize>) -> Stage {
        let mut stage =
            Stage { root, operators: Vec::new(), stages: Vec::new(), sinks: Vec::new(), sources: Vec::new() };
        let mut pending: Vec<Target> = match root {
            Root::Source(source) => self.sources[source].clone(),
            Root::Operator(operator) => vec![Target::Operator(operator)],
        };
        while let Some(target) = pending.pop() {
            match target {
                Target::Operator(operator) if !stage.operators.contains(&operator) => {
                    stage.operators.push(operator);
                    pending.extend(self.operators[operator].iter().flatten());
                }
                Target::Operator(_) => {}
                Target::Stage(next) => add(&mut stage.stages, next),
                Target::Sink(sink) => add(&mut stage.sinks, sink),
            }
        }
        dead_letters.iter().for_each(|&sink| add(&mut stage.sinks, sink));
        stage
    }
}

fn add<T: PartialEq>(set: &mut Vec<T>, value: T) {
    if !set.contains(&value) {
        set.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use std::sync::Arc;

    fn operator(name: &str, inputs: &[Origin], key: Option<usize>) -> OperatorNode {
        OperatorNode { name: name.into(), inputs: inputs.to_vec(), key }
    }

    fn main_of(index: usize) -> Origin {
        Origin::Operator { index, port: 0 }
    }

    fn sink(name: &str, inputs: &[Origin]) -> SinkNode {
        SinkNode {
            name: name.into(),
            inputs: inputs.to_vec(),
            schema: Arc::new(Schema::empty()),
            fields: None,
            wants: Wants::Bytes,
            key: None,
            max_record_bytes: None,
        }
    }

    fn source(name: &str) -> SourceNode {
        SourceNode { name: name.into(), out_of_orderness: None }
    }

    #[test]
    fn each_key_begins_a_stage_and_operators_without_a_key_join_the_stage_before() {
        let graph = Graph {
            sources: vec![source("transactions")],
            operators: vec![
                operator("user", &[Origin::Source(0)], Some(0)),
                operator("terminal", &[main_of(0)], Some(1)),
                operator("vector", &[main_of(1)], None),
            ],
            sinks: vec![sink("scores", &[main_of(2)]), sink("rejected", &[])],
            dead_letters: Some(1),
        };
        let layout = Layout::of(&graph);
        let operators: Vec<_> = layout.stages.iter().map(|s| s.operators.clone()).collect();
        assert_eq!(operators, [vec![], vec![0], vec![1, 2]]);
        assert_eq!(layout.targets(Origin::Source(0)), [Target::Stage(1)]);
        assert_eq!(layout.targets(main_of(0)), [Target::Stage(2)]);
        assert_eq!(layout.parts_at_stage(1, 1, 4), [1]);
        assert_eq!(layout.parts_at_stage(2, 1, 4), [4]);
        assert_eq!(layout.parts_at_sink(0, 1, 4), [4]);
        // Dead letters may come from decoding and from both keyed stages.
        assert_eq!(layout.parts_at_sink(1, 1, 4), [1 + 4 + 4]);
    }

    #[test]
    fn a_sink_of_two_sources_gets_the_parts_of_each_by_its_own_way() {
        let side = Origin::Operator { index: 0, port: 1 };
        let graph = Graph {
            sources: vec![source("a"), source("b"), source("c")],
            operators: vec![operator("keyed", &[Origin::Source(0)], Some(0))],
            sinks: vec![sink("out", &[main_of(0), side, Origin::Source(1)]), sink("other", &[Origin::Source(2)])],
            dead_letters: None,
        };
        let layout = Layout::of(&graph);
        assert_eq!(layout.parts_at_sink(0, 3, 2), [2, 1, 0]);
        assert_eq!(layout.parts_at_sink(1, 3, 2), [0, 0, 1]);
        assert_eq!(layout.parts_at_stage(3, 3, 2), [1, 0, 0]);
    }
}
