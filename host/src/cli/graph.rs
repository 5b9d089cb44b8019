//! `millstream graph`: the parts of a pipeline and what flows between them, as text, Graphviz or
//! JSON. It takes no more than the file; where plugins and models can be loaded it shows the columns
//! of every edge.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::exit::Failure;
use super::output::Output;
use super::pipeline::PipelineArguments;
use super::table::Table;
use crate::codec::Format;
use crate::config::{Input, OperatorKind, Pipeline};
use crate::report::{Column, Edge, columns_of};
use crate::{app, sink, source};

/// Arguments of `graph`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Form of the graph
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    format: GraphFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GraphFormat {
    /// Aligned tables
    Text,
    /// Graphviz: `millstream graph FILE --format dot | dot -Tsvg`
    Dot,
}

pub(super) fn execute(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let (pipeline, warnings) = arguments.pipeline.load()?;
    if !output.json {
        output.warnings(&warnings);
    }
    let edges = match app::check(&pipeline) {
        Ok(checked) => checked.edges,
        Err(error) => {
            tracing::debug!(%error, "columns are not shown");
            output.note("note: the columns of operators are not shown; `millstream check` says why");
            Vec::new()
        }
    };
    let graph = Graph::new(&pipeline, &edges);
    match arguments.format {
        _ if output.json => output.object(&graph),
        GraphFormat::Text => output.text(&graph.text()),
        GraphFormat::Dot => output.text(&graph.dot()),
    }
}

/// A pipeline as boxes and arrows.
#[derive(Debug, Serialize)]
struct Graph {
    pipeline: String,
    nodes: Vec<Node>,
    edges: Vec<Arrow>,
    dead_letters: Option<String>,
}

#[derive(Debug, Serialize)]
struct Node {
    kind: &'static str,
    name: String,
    about: String,
}

#[derive(Debug, Serialize)]
struct Arrow {
    from: String,
    port: Option<String>,
    to: String,
    /// The column by which rows are exchanged between workers on this edge.
    key: Option<String>,
    columns: Option<Vec<Column>>,
}

impl Graph {
    fn new(pipeline: &Pipeline, schemas: &[Edge]) -> Self {
        let mut nodes: Vec<Node> = pipeline.sources.iter().map(source_node).collect();
        let mut edges = Vec::new();
        let mut connect = |inputs: &[Input], to: &str, key: Option<&String>| {
            for input in inputs {
                let known = schemas.iter().find(|e| e.from == *input && e.to == to).map(|e| e.schema.as_ref());
                let of_source = || pipeline.sources.iter().find(|s| s.name == input.node).map(|s| s.schema.as_ref());
                edges.push(Arrow {
                    from: input.node.clone(),
                    port: input.port.clone(),
                    to: to.to_owned(),
                    key: key.cloned(),
                    columns: known.or_else(of_source).map(columns_of),
                });
            }
        };
        for operator in &pipeline.operators {
            let (about, key) = match &operator.kind {
                OperatorKind::Plugin(c) => (format!("plugin {}", c.plugin), c.key.as_ref()),
                OperatorKind::Inference(c) => {
                    (format!("model {}, {} to {}", c.model, c.features.join(", "), c.output), None)
                }
                OperatorKind::External(c) => {
                    let about = format!("model {} {}, {} to {}", c.model, c.place, c.features.join(", "), c.output);
                    (about, c.key.as_ref())
                }
            };
            let about = key.map_or(about.clone(), |key| format!("{about}, key {key}"));
            nodes.push(Node { kind: "operator", name: operator.name().to_owned(), about });
            connect(&operator.inputs, operator.name(), key);
        }
        for (config, inputs) in &pipeline.sinks {
            nodes.push(sink_node(config));
            connect(inputs, &config.name, None);
        }
        Self { pipeline: pipeline.name.clone(), nodes, edges, dead_letters: pipeline.dead_letters.clone() }
    }

    fn text(&self) -> String {
        let mut nodes = Table::default();
        for node in &self.nodes {
            nodes.row([node.kind, &node.name, &node.about]);
        }
        let mut edges = Table::default();
        for edge in &self.edges {
            let key = edge.key.as_ref().map(|k| format!("by {k}")).unwrap_or_default();
            edges.row([edge.output(), "->".to_owned(), edge.to.clone(), key, edge.list()]);
        }
        if let Some(sink) = &self.dead_letters {
            edges.row(["(dead letters)", "->", sink]);
        }
        format!("{}\n\nPARTS\n{}\nEDGES\n{}", self.pipeline, nodes.render(2), edges.render(2))
    }

    fn dot(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_dot(&mut out);
        out
    }

    fn write_dot(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "digraph {} {{", quote(&self.pipeline))?;
        writeln!(
            out,
            "  rankdir=LR;\n  node [shape=box, fontname=\"Helvetica\"];\n  edge [fontname=\"Helvetica\", fontsize=10];"
        )?;
        for node in &self.nodes {
            let shape = match node.kind {
                "operator" => "box",
                _ => "cylinder",
            };
            let label = format!("{}\n{}", node.name, node.about);
            writeln!(out, "  {} [shape={shape}, label={}];", quote(&node.name), quote(&label))?;
        }
        for edge in &self.edges {
            let port = edge.port.as_ref().map(|p| format!("port {p}"));
            let key = edge.key.as_ref().map(|k| format!("by {k}"));
            let columns = edge.columns.as_ref().map(|c| c.iter().map(show).collect::<Vec<_>>().join("\n"));
            let label: Vec<String> = [port, key, columns].into_iter().flatten().collect();
            writeln!(out, "  {} -> {} [label={}];", quote(&edge.from), quote(&edge.to), quote(&label.join("\n")))?;
        }
        if let Some(sink) = &self.dead_letters {
            writeln!(out, "  \"(dead letters)\" [shape=plaintext];")?;
            writeln!(out, "  \"(dead letters)\" -> {} [style=dashed];", quote(sink))?;
        }
        out.push_str("}\n");
        Ok(())
    }
}

impl Arrow {
    fn output(&self) -> String {
        self.port.as_ref().map_or_else(|| self.from.clone(), |port| format!("{}.{port}", self.from))
    }

    fn list(&self) -> String {
        self.columns.iter().flatten().map(show).collect::<Vec<_>>().join(", ")
    }
}

fn show(column: &Column) -> String {
    format!("{} {}{}", column.name, column.type_name, if column.nullable { "?" } else { "" })
}

/// A string of Graphviz.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn source_node(config: &source::Config) -> Node {
    let format = format_name(config.format);
    let about = match &config.connector {
        source::Connector::File { path, follow, .. } => {
            format!("file {}, {format}{}", path.display(), if *follow { ", followed" } else { "" })
        }
        source::Connector::Stdin { .. } => format!("standard input, {format}"),
        source::Connector::Generator(g) => match g.kind {
            source::GeneratorKind::Transactions => "generated transactions".to_owned(),
            source::GeneratorKind::Vectors(size) => format!("generated vectors of {size}"),
            source::GeneratorKind::VectorLines(size) => format!("generated vectors of {size}, as JSON lines"),
        },
        source::Connector::Kafka(kafka) => format!("Kafka topics {}, group {}", kafka.topics.join(", "), kafka.group),
    };
    Node { kind: "source", name: config.name.clone(), about }
}

fn sink_node(config: &sink::Config) -> Node {
    let format = format_name(config.format);
    let about = match &config.connector {
        sink::Connector::File { path, .. } => format!("file {}, {format}", path.display()),
        sink::Connector::Stdout => format!("standard output, {format}"),
        sink::Connector::Blackhole => "counted and dropped".to_owned(),
        sink::Connector::Kafka(kafka) => format!("Kafka topic {}", kafka.topic),
    };
    Node { kind: "sink", name: config.name.clone(), about }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Json => "JSON lines",
        Format::Csv => "CSV",
    }
}
