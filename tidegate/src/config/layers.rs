//! The layers of a config, and every mistake in any of them.
//!
//! Each single value is tried alone on top of the defaults, so one mistake hides no other; what is wrong is left out of
//! the config that is handed back, so that what it says can be checked further.

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Profile, Provider};

use crate::config::Config;

const ENV_PREFIX: &str = "TIDEGATE_";
/// Between a section and its key in the environment.
const ENV_SECTION: &str = "__";

/// What is laid over the defaults, later ones over earlier.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// The file's name and text.
    pub(crate) file: Option<(String, String)>,
    /// The environment; only `TIDEGATE_…` with the name of a key counts, because verbs have variables of their own.
    pub(crate) env: Vec<(String, String)>,
    /// Flags by key.
    pub(crate) flags: Dict,
}

/// One layer, parsed; `name` makes the words for where a key was said.
struct Layer {
    values: Dict,
    name: fn(&str, &str) -> String,
    file: String,
}

/// The config of these layers, and everything that is wrong with it.
pub(crate) fn load(layers: &Layers) -> (Config, Vec<String>) {
    let mut errors = Vec::new();
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    for layer in parse(layers, &mut errors) {
        for (key, value) in leaves(&layer.values) {
            let value = tables(&layer, &key, value, &mut errors);
            match mistake(&key, &value) {
                None => figment = figment.merge(said(&key, &value)),
                Some(error) => errors.push(describe(&layer, &key, error)),
            }
        }
    }
    match figment.extract_lossy::<Config>() {
        Ok(config) => {
            errors.extend(config.check());
            (config, errors)
        }
        Err(error) => {
            errors.push(error.to_string());
            (Config::default(), errors)
        }
    }
}

fn said<'a>(key: &str, value: &'a Value) -> Serialized<&'a Value> {
    Serialized::default(key, value)
}

/// Why the config does not take this value; none where it does.
fn mistake(key: &str, value: &Value) -> Option<figment::Error> {
    let figment = Figment::from(Serialized::defaults(Config::default())).merge(said(key, value));
    figment.extract_lossy::<Config>().err()
}

/// A list of tables, without what is wrong in them; any other value as it is.
fn tables(layer: &Layer, key: &str, value: Value, errors: &mut Vec<String>) -> Value {
    let Value::Array(tag, items) = value else { return value };
    let items = items.into_iter().enumerate().map(|(at, item)| {
        let Some(mut table) = item.as_dict().cloned() else { return item };
        table.retain(|name, inner| {
            let one = Value::from(Dict::from([(name.clone(), inner.clone())]));
            let mistake = mistake(key, &Value::Array(tag, vec![one]));
            let line = mistake.map(|error| describe(layer, &format!("{key}[{at}].{name}"), error));
            let sound = line.is_none();
            errors.extend(line);
            sound
        });
        Value::from(table)
    });
    Value::Array(tag, items.collect())
}

fn parse(layers: &Layers, errors: &mut Vec<String>) -> Vec<Layer> {
    let mut parsed = Vec::new();
    if let Some((file, text)) = &layers.file {
        match Toml::string(text).data() {
            Ok(mut profiles) => parsed.push(Layer {
                values: profiles.remove(&Profile::Default).unwrap_or_default(),
                name: |file, key| format!("{file}: {key}"),
                file: file.clone(),
            }),
            Err(error) => errors.push(format!("{file}: {}", error.kind)),
        }
    }
    parsed.push(Layer { values: from_env(&layers.env), name: |_, key| env_name(key), file: String::new() });
    parsed.push(Layer { values: layers.flags.clone(), name: |_, key| flag_name(key), file: String::new() });
    parsed
}

fn describe(layer: &Layer, key: &str, error: figment::Error) -> String {
    let place = (layer.name)(&layer.file, key);
    let problems: Vec<String> = error.into_iter().map(|one| one.kind.to_string()).collect();
    format!("{place}: {}", problems.join("; "))
}

fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', ENV_SECTION).to_ascii_uppercase())
}

fn flag_name(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

/// Variables that name a key of the config, as texts; an empty one counts as absent.
fn from_env(env: &[(String, String)]) -> Dict {
    let known = Value::serialize(Config::default()).ok().and_then(Value::into_dict).unwrap_or_default();
    let mut values = Dict::new();
    for (name, text) in env.iter().filter(|(_, text)| !text.is_empty()) {
        let Some(name) = name.strip_prefix(ENV_PREFIX) else { continue };
        let path = name.to_ascii_lowercase().replace(ENV_SECTION, ".");
        let section = path.split('.').next().unwrap_or_default();
        let is_section = known.get(section).is_some_and(|value| value.as_dict().is_some());
        if known.contains_key(section) && (is_section == path.contains('.')) {
            merge(&mut values, figment::util::nest(&path, Value::from(text.as_str())));
        }
    }
    values
}

fn merge(into: &mut Dict, value: Value) {
    for (key, value) in value.into_dict().unwrap_or_default() {
        match (into.get_mut(&key), value) {
            (Some(Value::Dict(_, held)), more @ Value::Dict(..)) => merge(held, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Every value that is no table, with its dotted key.
fn leaves(values: &Dict) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in values {
        match value.as_dict() {
            Some(table) => {
                found.extend(leaves(table).into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)))
            }
            None => found.push((key.clone(), value.clone())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Option<(String, String)> {
        Some(("tidegate.toml".to_owned(), text.to_owned()))
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn flags(pairs: &[(&str, &str)]) -> Dict {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect()
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
        let layers = Layers {
            file: file("prefix = 'file.'\npartitions = 1\nsource_partitions = 1\n[ingest]\nbatch_events = 7"),
            env: env(&[
                ("TIDEGATE_PREFIX", "env."),
                ("TIDEGATE_PARTITIONS", "2"),
                ("TIDEGATE_INGEST__LINGER_MS", "9"),
                ("TIDEGATE_KAFKA_CLIENT__SASL_USERNAME", "me"),
            ]),
            flags: flags(&[("prefix", "flag.")]),
        };
        let (config, errors) = load(&layers);
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!((config.prefix.as_str(), config.partitions, config.source_partitions), ("flag.", 2, 1));
        assert_eq!((config.ingest.batch_events, config.ingest.linger.as_millis()), (7, 9));
        assert_eq!(config.kafka_client["sasl_username"], "me");
        assert_eq!(config.replication, Config::default().replication);
    }

    #[test]
    fn every_mistake_of_every_layer_is_listed() {
        let layers = Layers {
            file: file("listen = 'nowhere'\ncolour = 'blue'\n[ingest]\nack_wait_ms = 'long'\nnothing = 1"),
            env: env(&[("TIDEGATE_PARTITIONS", "many"), ("TIDEGATE_LOG_FORMAT", "xml")]),
            flags: flags(&[("prefix", "a/b"), ("kafka", "localhost:9092")]),
        };
        let (_, errors) = load(&layers);
        let beginnings = [
            "tidegate.toml: colour: unknown field",
            "tidegate.toml: ingest.ack_wait_ms: invalid type",
            "tidegate.toml: ingest.nothing: unknown field",
            "tidegate.toml: listen: invalid",
            "TIDEGATE_LOG_FORMAT: unknown variant",
            "TIDEGATE_PARTITIONS: invalid type",
            "prefix: at most",
            "kafka: needs a registry",
        ];
        assert_eq!(errors.len(), beginnings.len(), "{errors:#?}");
        for beginning in beginnings {
            assert!(errors.iter().any(|error| error.starts_with(beginning)), "{beginning} is not in {errors:#?}");
        }
    }

    #[test]
    fn a_file_that_is_no_toml_is_one_mistake_of_many() {
        let layers =
            Layers { file: file("listen = "), env: env(&[("TIDEGATE_PARTITIONS", "99")]), ..Layers::default() };
        let (_, errors) = load(&layers);
        assert_eq!(errors.len(), 2, "{errors:#?}");
    }

    #[test]
    fn lists_are_split_at_commas_and_other_variables_are_left_alone() {
        let layers = Layers {
            env: env(&[
                ("TIDEGATE_CATALOGUE", "wikipedia, ./mine"),
                ("TIDEGATE_EVENTS", "/data"),
                ("TIDEGATE_TOKEN", "secret"),
                ("TIDEGATE_KAFKA", ""),
                ("TIDEGATE_PREFIX", "2026"),
            ]),
            ..Layers::default()
        };
        let (config, errors) = load(&layers);
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(config.catalogue, ["wikipedia", "./mine"]);
        assert_eq!((config.kafka, config.prefix.as_str()), (None, "2026"));
    }
}
