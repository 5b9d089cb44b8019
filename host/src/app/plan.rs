//! A pipeline with everything that it names loaded and fitted together: plugins compiled and
//! described, models read, the schema of every edge known. What `check` reports is what this finds.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};

use crate::codec::{Decoder, Encoder};
use crate::config::{Diagnostic, Errors, Input, OperatorKind, Pipeline};
use crate::dataflow::{Graph, HubStats, OperatorNode, Origin, SinkNode, SourceNode};
use crate::inference::external::{ExternalBinding, ExternalConfig, ExternalStats};
use crate::inference::{Binding, Model, Runtime};
use crate::operator::{Engine, Folder, OperatorConfig, Plugin, Runner, User, output_schemas};
use crate::record::{dead_letter_schema, format_type};

use super::nodes::stamped;

/// A pipeline that can run.
pub struct Plan {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Its shape.
    pub graph: Graph,
    /// What each operator is made of, in the order of the graph.
    pub operators: Vec<Made>,
    /// Schemas of the operators' inputs.
    pub inputs: Vec<SchemaRef>,
    /// The plugin host, when there are plugins.
    pub engine: Option<Engine>,
    /// The plugin folder, when there are plugins.
    pub folder: Option<Folder>,
    /// Schema of each output: source or operator, and port (none for the main output).
    pub schemas: Vec<(Input, SchemaRef)>,
}

/// What an operator is made of.
pub enum Made {
    /// A plugin, and its output ports.
    Plugin {
        /// Its settings.
        config: OperatorConfig,
        /// Its first generation.
        plugin: Arc<Plugin>,
        /// Names and schemas of the ports, the column of the generation included.
        ports: Vec<(String, SchemaRef)>,
    },
    /// A model.
    Inference {
        /// Name of the operator.
        name: String,
        /// The model, bound to its input.
        binding: Arc<Binding>,
    },
    /// A model that answers later.
    External {
        /// The operator, bound to its input.
        binding: Arc<ExternalBinding>,
        /// What it counts.
        stats: Arc<ExternalStats>,
        /// What its hub counts.
        hub: Arc<HubStats>,
    },
}

/// An output while the plan is made.
struct Out {
    origin: Origin,
    schema: SchemaRef,
}

/// Loads and fits together what a pipeline names.
///
/// # Errors
/// Everything that does not fit, each with its place in the file.
pub fn plan(pipeline: Pipeline) -> Result<Plan, Errors> {
    let mut planner = Planner::new(&pipeline);
    planner.sources();
    let (engine, folder) = planner.plugins();
    let models = planner.models();
    let (nodes, operators, inputs) = planner.operators(engine.as_ref().zip(folder.as_ref()), &models);
    let sinks = planner.sinks();
    let Planner { errors, outputs, order, .. } = planner;
    if !errors.is_empty() {
        return Err(Errors { errors });
    }
    let sources = pipeline.sources.iter().map(|s| SourceNode {
        name: s.name.clone(),
        out_of_orderness: s.event_time.is_some().then_some(s.max_out_of_orderness),
    });
    let dead_letters =
        pipeline.dead_letters.as_ref().and_then(|n| pipeline.sinks.iter().position(|(s, _)| &s.name == n));
    let graph = Graph { sources: sources.collect(), operators: nodes, sinks, dead_letters };
    let schemas = order.into_iter().filter_map(|i| outputs.get(&key(&i)).map(|o| (i, o.schema.clone()))).collect();
    Ok(Plan { graph, operators, inputs, engine, folder, schemas, pipeline })
}

impl Plan {
    /// Operators that a new generation of their plugin must fit.
    pub fn plugin_users(&self) -> Vec<User> {
        let made = self.operators.iter().zip(&self.inputs);
        let user = |(made, input): (&Made, &SchemaRef)| match made {
            Made::Plugin { config, .. } => Some(User { operator: config.clone(), input: input.clone() }),
            Made::Inference { .. } | Made::External { .. } => None,
        };
        made.filter_map(user).collect()
    }
}

fn key(input: &Input) -> (String, Option<String>) {
    (input.node.clone(), input.port.clone())
}

struct Planner<'a> {
    pipeline: &'a Pipeline,
    errors: Vec<Diagnostic>,
    outputs: HashMap<(String, Option<String>), Out>,
    order: Vec<Input>,
}

impl<'a> Planner<'a> {
    fn new(pipeline: &'a Pipeline) -> Self {
        Self { pipeline, errors: Vec::new(), outputs: HashMap::new(), order: Vec::new() }
    }

    fn error(&mut self, place: &str, message: impl Into<String>) {
        self.errors.push(self.pipeline.places.error(place, message));
    }

    fn output(&mut self, node: &str, port: Option<&str>, origin: Origin, schema: SchemaRef) {
        let input = Input { node: node.into(), port: port.map(Into::into) };
        self.outputs.insert(key(&input), Out { origin, schema });
        self.order.push(input);
    }

    fn sources(&mut self) {
        for (index, source) in self.pipeline.sources.iter().enumerate() {
            let name = &source.name;
            if let Err(e) =
                Decoder::new(source.format, &source.schema, source.event_time.as_deref(), source.max_record_bytes)
            {
                self.error(&format!("source.{name}.event_time"), format!("source `{name}`: {e}"));
            }
            self.output(name, None, Origin::Source(index), source.schema.clone());
        }
    }

    fn plugins(&mut self) -> (Option<Engine>, Option<Folder>) {
        let wanted = self.pipeline.operators.iter().any(|o| matches!(o.kind, OperatorKind::Plugin(_)));
        if !wanted {
            return (None, None);
        }
        let engine = match Engine::new(&self.pipeline.plugins) {
            Ok(engine) => engine,
            Err(e) => {
                self.error("plugins", format!("the plugin host cannot start: {e}"));
                return (None, None);
            }
        };
        match Folder::open(&engine, &self.pipeline.plugins.folder) {
            Ok(folder) => {
                for refusal in folder.refusals() {
                    tracing::warn!(file = %refusal.file.display(), reason = %refusal.reason, "a plugin file was refused");
                }
                (Some(engine), Some(folder))
            }
            Err(e) => {
                self.error("plugins.folder", e.to_string());
                (Some(engine), None)
            }
        }
    }

    fn models(&mut self) -> HashMap<String, Arc<Model>> {
        let used = |name: &str| {
            let uses = |o: &crate::config::OperatorNode| match &o.kind {
                OperatorKind::Plugin(_) => false,
                OperatorKind::Inference(c) => c.model == name,
                OperatorKind::External(c) => c.embedded_models().any(|model| model == name),
            };
            self.pipeline.operators.iter().any(uses)
        };
        let wanted: Vec<_> = self.pipeline.models.iter().filter(|m| used(&m.name)).collect();
        let mut models = HashMap::new();
        if wanted.is_empty() {
            return models;
        }
        let runtime = match Runtime::load(&self.pipeline.onnxruntime) {
            Ok(runtime) => runtime,
            Err(e) => {
                self.error("models.library", e.to_string());
                return models;
            }
        };
        for config in wanted {
            match Model::load(runtime, config) {
                Ok(model) => drop(models.insert(config.name.clone(), model)),
                Err(e) => self.error(&format!("models.{}.path", config.name), e.to_string()),
            }
        }
        models
    }

    /// The one schema of all inputs of a node; an error when they differ. `None` also when an
    /// input could not be planned, which was reported already.
    fn input(&mut self, table: &str, inputs: &[Input]) -> Option<(Vec<Origin>, SchemaRef)> {
        let mut origins = Vec::new();
        let mut schema: Option<(String, SchemaRef)> = None;
        for input in inputs {
            let Some(out) = self.outputs.get(&key(input)) else {
                let made = self.outputs.contains_key(&(input.node.clone(), None));
                if let (true, Some(port)) = (made, &input.port) {
                    let message = format!("operator `{}` has no output port `{port}`", input.node);
                    self.error(&format!("{table}.inputs"), message);
                }
                return None;
            };
            origins.push(out.origin);
            let name = input.port.as_ref().map_or(input.node.clone(), |p| format!("{}.{p}", input.node));
            match &schema {
                Some((first, known)) if *known != out.schema => {
                    let difference = difference(first, known, &name, &out.schema);
                    self.error(&format!("{table}.inputs"), format!("the inputs have different columns: {difference}"));
                    return None;
                }
                Some(_) => {}
                None => schema = Some((name, out.schema.clone())),
            }
        }
        schema.map(|(_, schema)| (origins, schema))
    }

    fn operators(
        &mut self,
        host: Option<(&Engine, &Folder)>,
        models: &HashMap<String, Arc<Model>>,
    ) -> (Vec<OperatorNode>, Vec<Made>, Vec<SchemaRef>) {
        let (mut nodes, mut operators, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
        for operator in &self.pipeline.operators {
            let table = format!("operator.{}", operator.name());
            let Some((origins, schema)) = self.input(&table, &operator.inputs) else { continue };
            let made = match &operator.kind {
                OperatorKind::Plugin(config) => host.and_then(|host| self.plugin(&table, config, host, &schema)),
                OperatorKind::Inference(config) => {
                    models.get(&config.model).and_then(|model| match model.bind(&schema, config) {
                        Ok(binding) => {
                            Some(Made::Inference { name: operator.name().into(), binding: Arc::new(binding) })
                        }
                        Err(e) => {
                            self.error(&format!("{table}.features"), e.to_string());
                            None
                        }
                    })
                }
                OperatorKind::External(config) => self.external(&table, config, &schema, models),
            };
            let Some(made) = made else { continue };
            let mut node =
                OperatorNode { name: operator.name().into(), inputs: origins, key: None, asynchronous: false };
            let index = nodes.len();
            match &made {
                Made::Inference { binding, .. } => {
                    let origin = Origin::Operator { index, port: 0 };
                    self.output(operator.name(), None, origin, binding.output_schema().clone());
                }
                Made::External { binding, .. } => {
                    node.asynchronous = true;
                    let origin = Origin::Operator { index, port: 0 };
                    self.output(operator.name(), None, origin, binding.output_schema().clone());
                }
                Made::Plugin { config, ports, .. } => {
                    node.key = config.key.as_deref().and_then(|k| schema.index_of(k).ok());
                    for (port, (name, schema)) in ports.iter().enumerate() {
                        let name = (port > 0).then_some(name.as_str());
                        self.output(operator.name(), name, Origin::Operator { index, port }, schema.clone());
                    }
                }
            }
            nodes.push(node);
            operators.push(made);
            inputs.push(schema);
        }
        (nodes, operators, inputs)
    }

    fn external(
        &mut self,
        table: &str,
        config: &ExternalConfig,
        input: &SchemaRef,
        models: &HashMap<String, Arc<Model>>,
    ) -> Option<Made> {
        if config.embedded_models().any(|name| !models.contains_key(name)) {
            // That it cannot be loaded was reported already.
            return None;
        }
        match ExternalBinding::bind(config, input, |name| models.get(name).cloned()) {
            Ok(binding) => {
                let stats = Arc::new(binding.stats());
                Some(Made::External { binding: Arc::new(binding), stats, hub: Arc::default() })
            }
            Err(e) => {
                self.error(table, e.to_string());
                None
            }
        }
    }

    fn plugin(
        &mut self,
        table: &str,
        config: &OperatorConfig,
        (engine, folder): (&Engine, &Folder),
        input: &SchemaRef,
    ) -> Option<Made> {
        let Some(plugin) = folder.plugins().get(&config.plugin) else {
            let mut message = format!("no plugin `{}` in {}", config.plugin, self.pipeline.plugins.folder.display());
            for refusal in folder.refusals() {
                message += &format!("\n  {} was refused: {}", refusal.file.display(), refusal.reason);
            }
            let known: Vec<_> = folder.plugins().keys().map(|k| format!("`{k}`")).collect();
            let help = match known.len() {
                0 => "the folder holds no plugin; build one, or set `plugins.folder`".into(),
                _ => format!("the folder holds {}", known.join(", ")),
            };
            let error = self.pipeline.places.error(&format!("{table}.plugin"), message).help(help);
            self.errors.push(error);
            return None;
        };
        match output_schemas(plugin, config, input) {
            Err(e) => {
                // A key that is missing or does not fit is shown at the key.
                let place = if e.message.contains("key") { "key" } else { "plugin" };
                self.error(&format!("{table}.{place}"), e.to_string());
                None
            }
            Ok(ports) => {
                if let Some(column) = &config.generation_column
                    && ports.iter().any(|(_, schema)| schema.field_with_name(column).is_ok())
                {
                    let message = format!("operator `{}` has a column `{column}` already", config.name);
                    self.error(&format!("{table}.generation_column"), message);
                    return None;
                }
                // A trial: what `open` refuses is found before a row is read.
                if let Err(e) = Runner::new(engine, Arc::clone(plugin), config, &self.pipeline.plugins.limits, input) {
                    self.error(&format!("{table}.config"), e.to_string());
                    return None;
                }
                let column = config.generation_column.as_deref();
                let ports = ports
                    .into_iter()
                    .map(|(name, schema)| (name, column.map_or(schema.clone(), |c| stamped(&schema, c))));
                Some(Made::Plugin { config: config.clone(), plugin: plugin.clone(), ports: ports.collect() })
            }
        }
    }

    fn sinks(&mut self) -> Vec<SinkNode> {
        let mut sinks = Vec::new();
        for (config, inputs) in &self.pipeline.sinks {
            let table = format!("sink.{}", config.name);
            let letters = self.pipeline.dead_letters.as_ref() == Some(&config.name);
            let fed = if letters { Some((Vec::new(), dead_letter_schema())) } else { self.input(&table, inputs) };
            let Some((inputs, schema)) = fed else { continue };
            if let Err(e) = Encoder::new(config.format, &schema, config.fields.as_deref()) {
                let place = if config.fields.is_some() { format!("{table}.fields") } else { table.clone() };
                self.error(&place, format!("sink `{}`: {e}", config.name));
            }
            let key = match config.connector.key() {
                None => None,
                Some(name) => match schema.index_of(name) {
                    Ok(index) => Some(index),
                    Err(_) => {
                        let message = format!("the rows of sink `{}` have no column `{name}`", config.name);
                        self.error(&format!("{table}.key"), message);
                        None
                    }
                },
            };
            sinks.push(SinkNode {
                name: config.name.clone(),
                inputs,
                schema,
                fields: config.fields.clone(),
                wants: config.connector.wants(),
                key,
                max_record_bytes: config.connector.max_record_bytes(),
            });
        }
        sinks
    }
}

/// The first difference between two schemas.
fn difference(first: &str, a: &SchemaRef, second: &str, b: &SchemaRef) -> String {
    let show = |t: &DataType, nullable: bool| format!("{}{}", format_type(t), if nullable { "?" } else { "" });
    for field in a.fields() {
        match b.field_with_name(field.name()) {
            Err(_) => return format!("`{first}` has `{}`, `{second}` has not", field.name()),
            Ok(other) if other != field.as_ref() => {
                return format!(
                    "`{}` is {} in `{first}` and {} in `{second}`",
                    field.name(),
                    show(field.data_type(), field.is_nullable()),
                    show(other.data_type(), other.is_nullable())
                );
            }
            Ok(_) => {}
        }
    }
    match b.fields().iter().find(|f| a.field_with_name(f.name()).is_err()) {
        Some(field) => format!("`{second}` has `{}`, `{first}` has not", field.name()),
        None => "their order differs".into(),
    }
}
