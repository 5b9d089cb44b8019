//! The shape of a pipeline: which output feeds what, and how that is cut into stages.
//!
//! A *stage* is what a worker does with rows without handing them to another worker. Each source
//! begins one (decode, then the operators that need no key); each operator with a key begins one,
//! because its rows must first travel to the worker that owns their key. Operators without a key
//! run in the stage that feeds them. An asynchronous operator runs on a thread of its own, the *hub*;
//! what it is done with begins a stage as a source's rows do, in a sequence of its own: a *lane*.

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
    /// Index of the key among the columns of its input; none for one that needs no key, or is
    /// asynchronous.
    pub key: Option<usize>,
    /// Whether it answers its rows later.
    pub asynchronous: bool,
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
    /// The hub with this index.
    Hub(usize),
    Sink(usize),
}

/// Where a stage begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Source(usize),
    /// What an asynchronous operator is done with.
    Hub(usize),
    Operator(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub root: Root,
    /// Operators that run in it, the root first.
    pub operators: Vec<usize>,
    /// Keyed stages fed by it.
    pub stages: Vec<usize>,
    /// Hubs fed by it.
    pub hubs: Vec<usize>,
    /// Sinks fed by it, the one for dead letters among them.
    pub sinks: Vec<usize>,
    /// Lanes whose rows come here.
    pub lanes: Vec<usize>,
}

/// A graph cut into stages.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Intake stages first, one a lane (sources, then hubs), then keyed stages in topological order.
    pub stages: Vec<Stage>,
    /// Operators of the hubs, in topological order.
    pub hubs: Vec<usize>,
    /// Number of lanes.
    pub lanes: usize,
    sources: Vec<Vec<Target>>,
    /// Per operator and port.
    operators: Vec<Vec<Vec<Target>>>,
}

impl Layout {
    pub(crate) fn of(graph: &Graph) -> Self {
        let all = 0..graph.operators.len();
        let hubs: Vec<usize> = all.clone().filter(|&o| graph.operators[o].asynchronous).collect();
        let keyed: Vec<usize> = all.filter(|&o| graph.operators[o].key.is_some()).collect();
        let lanes = graph.sources.len() + hubs.len();
        let mut layout = Self {
            stages: Vec::new(),
            hubs: hubs.clone(),
            lanes,
            sources: vec![Vec::new(); graph.sources.len()],
            operators: vec![Vec::new(); graph.operators.len()],
        };
        for (index, operator) in graph.operators.iter().enumerate() {
            let place = |list: &[usize]| list.iter().position(|&o| o == index);
            let target = match (place(&hubs), place(&keyed)) {
                (Some(hub), _) => Target::Hub(hub),
                (None, Some(at)) => Target::Stage(lanes + at),
                (None, None) => Target::Operator(index),
            };
            operator.inputs.iter().for_each(|&origin| layout.feed(origin, target));
        }
        for (index, sink) in graph.sinks.iter().enumerate() {
            sink.inputs.iter().for_each(|&origin| layout.feed(origin, Target::Sink(index)));
        }
        let sources = (0..graph.sources.len()).map(Root::Source);
        let roots = sources.chain(hubs.into_iter().map(Root::Hub)).chain(keyed.into_iter().map(Root::Operator));
        layout.stages = roots.map(|root| layout.stage(root, graph.dead_letters)).collect();
        // A lane ends at a hub. Keyed stages are in topological order, so one pass carries each lane to
        // all that it reaches.
        for index in 0..layout.stages.len() {
            if index < lanes {
                layout.stages[index].lanes.push(index);
            }
            let (reached, next) = (layout.stages[index].lanes.clone(), layout.stages[index].stages.clone());
            for stage in next {
                let known = &mut layout.stages[stage].lanes;
                reached.iter().for_each(|&l| add(known, l));
            }
        }
        layout
    }

    /// By lane, whether a source with event time is behind it.
    pub(crate) fn timed(&self, graph: &Graph) -> Vec<bool> {
        let mut timed: Vec<bool> = graph.sources.iter().map(|s| s.out_of_orderness.is_some()).collect();
        // Hubs are in topological order, so those that feed one are known before it.
        for hub in 0..self.hubs.len() {
            let mut feeding = self.stages.iter().filter(|s| s.hubs.contains(&hub)).flat_map(|s| &s.lanes);
            timed.push(feeding.any(|&lane| timed.get(lane).copied().unwrap_or(false)));
        }
        timed
    }

    /// What an output feeds.
    pub(crate) fn targets(&self, origin: Origin) -> &[Target] {
        match origin {
            Origin::Source(source) => &self.sources[source],
            Origin::Operator { index, port } => self.operators[index].get(port).map_or(&[], Vec::as_slice),
        }
    }

    /// For each lane, the number of parts of a block that a keyed stage gets.
    pub(crate) fn parts_at_stage(&self, stage: usize, workers: usize) -> Vec<u32> {
        self.parts(workers, |s| s.stages.contains(&stage))
    }

    /// For each lane, the number of parts of a block that a hub gets.
    pub(crate) fn parts_at_hub(&self, hub: usize, workers: usize) -> Vec<u32> {
        self.parts(workers, |s| s.hubs.contains(&hub))
    }

    /// For each lane, the number of parts of a block that a sink gets.
    pub(crate) fn parts_at_sink(&self, sink: usize, workers: usize) -> Vec<u32> {
        self.parts(workers, |s| s.sinks.contains(&sink))
    }

    /// An intake stage sends one part of a block, as one worker takes the block; a keyed stage
    /// sends one from every worker.
    fn parts(&self, workers: usize, feeds: impl Fn(&Stage) -> bool) -> Vec<u32> {
        let mut parts = vec![0; self.lanes];
        for stage in self.stages.iter().filter(|s| feeds(s)) {
            let each = if matches!(stage.root, Root::Operator(_)) { workers as u32 } else { 1 };
            stage.lanes.iter().for_each(|&l| parts[l] += each);
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
        let (operators, stages, hubs, sinks, lanes) = Default::default();
        let mut stage = Stage { root, operators, stages, hubs, sinks, lanes };
        let mut pending: Vec<Target> = match root {
            Root::Source(source) => self.sources[source].clone(),
            Root::Hub(operator) => self.operators[operator].iter().flatten().copied().collect(),
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
                Target::Hub(hub) => add(&mut stage.hubs, hub),
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
        OperatorNode { name: name.into(), inputs: inputs.to_vec(), key, asynchronous: false }
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
        assert_eq!(layout.parts_at_stage(1, 4), [1]);
        assert_eq!(layout.parts_at_stage(2, 4), [4]);
        assert_eq!(layout.parts_at_sink(0, 4), [4]);
        // Dead letters may come from decoding and from both keyed stages.
        assert_eq!(layout.parts_at_sink(1, 4), [1 + 4 + 4]);
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
        assert_eq!(layout.parts_at_sink(0, 2), [2, 1, 0]);
        assert_eq!(layout.parts_at_sink(1, 2), [0, 0, 1]);
        assert_eq!(layout.parts_at_stage(3, 2), [1, 0, 0]);
    }

    #[test]
    fn behind_an_asynchronous_operator_a_lane_of_its_own_begins() {
        let later = |name: &str, inputs: &[Origin]| OperatorNode { asynchronous: true, ..operator(name, inputs, None) };
        let graph = Graph {
            sources: vec![source("timed"), source("timeless")],
            operators: vec![
                operator("enrich", &[Origin::Source(0)], Some(0)),
                later("score", &[main_of(0)]),
                operator("compare", &[main_of(1), Origin::Source(1)], Some(0)),
                later("again", &[main_of(2), main_of(1)]),
            ],
            sinks: vec![sink("out", &[main_of(3), main_of(0)]), sink("rejected", &[])],
            dead_letters: Some(1),
        };
        let mut graph = graph;
        graph.sources[0].out_of_orderness = Some(Duration::ZERO);
        let layout = Layout::of(&graph);
        // Lanes: timed, timeless, score, again. Stages: those, then enrich, compare.
        assert_eq!((layout.lanes, layout.stages.len(), &layout.hubs[..]), (4, 6, &[1, 3][..]));
        assert_eq!(layout.targets(main_of(0)), [Target::Hub(0), Target::Sink(0)]);
        assert_eq!(layout.parts_at_hub(0, 4), [4, 0, 0, 0]);
        assert_eq!(layout.parts_at_stage(5, 4), [0, 1, 1, 0]);
        assert_eq!(layout.parts_at_hub(1, 4), [0, 4, 4 + 1, 0]);
        assert_eq!(layout.parts_at_sink(0, 4), [4, 0, 0, 1]);
        assert_eq!(layout.parts_at_sink(1, 4), [1 + 4, 1 + 4, 1 + 4, 1]);
        assert_eq!(layout.timed(&graph), [true, false, true, true]);
    }
}
