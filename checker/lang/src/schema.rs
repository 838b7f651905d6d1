//! The JSON Schema of the pack format, for editors: names are completed, explained and checked as one types.
//!
//! <https://json-schema.org/draft/2020-12>. What a schema cannot say (that an attribute exists, that types agree) is
//! `invar check`'s business, and the editor in the dashboard's. That the fields are those that are read is tested.
mod shapes;

use serde_json::{Map, Value, json};

use crate::rule::KINDS;
use shapes::{SHAPES, Shape, What};

/// The schema of a file of rules: a pack, or overrides of one.
#[must_use]
pub fn schema() -> Value {
    let mut definitions: Map<String, Value> = SHAPES.iter().map(|shape| (name(shape.what), object(shape))).collect();
    definitions.insert(
        "pattern".to_owned(),
        json!({
            "description": "Events: a name, `name where condition`, a map with `event`, or a list of these.",
            "oneOf": [
                {"type": "string"},
                {"$ref": "#/$defs/pattern_map"},
                {"type": "array", "items": {"oneOf": [{"type": "string"}, {"$ref": "#/$defs/pattern_map"}]}},
            ],
        }),
    );
    definitions.insert(
        "duration".to_owned(),
        json!({
            "description":
                "A length of time such as `500ms`, `30s`, `2m` or `24h`, `param.NAME`, or an expression over parameters.",
            "type": "string",
            "examples": ["30s", "500ms", "param.deadline", "2 * param.deadline"],
        }),
    );
    definitions.insert(
        "expression".to_owned(),
        json!({
            "description": "An expression in CEL's syntax. Quote it where it begins with `!` or holds `: ` or ` #`.",
            "type": ["string", "number", "boolean"],
        }),
    );
    definitions.insert(
        "type".to_owned(),
        json!({
            "enum": ["string", "int", "bool", "double", "bytes", "list", "map", "any"],
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Invar pack",
        "description": "The rules of one system: its topology, vocabulary, facts, clocks, rules and breakers; or overrides of a pack.",
        "if": {"required": ["extends"]},
        "then": {"$ref": "#/$defs/override"},
        "else": {"$ref": "#/$defs/pack"},
        "$defs": definitions,
    })
}

/// What a field of a map is for, as the schema says it, for use inside a sentence.
pub(crate) fn about(what: &str, field: &str) -> Option<String> {
    let shape = SHAPES.iter().find(|shape| shape.what == what)?;
    let about = shape.fields.iter().find(|known| known.name == field)?.about.trim_end_matches('.');
    let first = about.chars().next()?;
    Some(first.to_lowercase().chain(about.chars().skip(1)).collect())
}

/// The name of a shape's definition.
fn name(what: &str) -> String {
    match what {
        "pattern" => "pattern_map".to_owned(),
        other => other.replace(' ', "_"),
    }
}

fn object(shape: &Shape) -> Value {
    let mut properties = Map::new();
    for field in shape.fields {
        let mut property = value(&field.value);
        property["description"] = field.about.into();
        properties.insert(field.name.to_owned(), property);
    }
    let required: Vec<&str> = shape.fields.iter().filter(|field| field.needed).map(|field| field.name).collect();
    let mut object = json!({
        "type": "object",
        "description": shape.about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if shape.what == "rule" {
        object["oneOf"] = KINDS.iter().map(|kind| json!({"required": [kind]})).collect();
    }
    object
}

fn value(what: &What) -> Value {
    match what {
        What::Text => json!({"type": "string"}),
        What::Name => json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}),
        What::Flag => json!({"type": ["boolean", "string"]}),
        What::Number => json!({"type": ["integer", "string"]}),
        What::Any => json!({}),
        What::Duration => json!({"$ref": "#/$defs/duration"}),
        What::Expression => json!({"$ref": "#/$defs/expression"}),
        What::Pattern => json!({"$ref": "#/$defs/pattern"}),
        What::One(names) => json!({"enum": names}),
        What::Map(of) => json!({"type": "object", "additionalProperties": value(of)}),
        What::List(of) => json!({"type": "array", "items": value(of)}),
        What::Some(of) => json!({"oneOf": [value(of), {"type": "array", "items": value(of)}]}),
        What::Shape(of) => json!({"$ref": format!("#/$defs/{}", name(of))}),
        What::Null => json!({"type": "null"}),
        What::Either(choices) => json!({"anyOf": choices.iter().map(value).collect::<Vec<Value>>()}),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::fields::asked;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// All shipped packs, and those of the documentation.
    fn packs() -> Vec<(String, String)> {
        let mut packs = Vec::new();
        let files = |folder: &str| -> Vec<PathBuf> {
            let mut files: Vec<PathBuf> =
                fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            files
        };
        for file in files("rules").into_iter().chain(files("tests/it/suites")) {
            let name = file.to_string_lossy().into_owned();
            if name.ends_with(".yaml") && !name.ends_with(".test.yaml") {
                packs.push((name, fs::read_to_string(file).unwrap()));
            }
        }
        for file in files("docs").into_iter().chain(files("docs/kinds")).filter(|file| file.is_file()) {
            let text = fs::read_to_string(&file).unwrap();
            let blocks = text.split("```yaml pack\n").skip(1).filter_map(|rest| rest.split("```").next());
            packs.extend(blocks.map(|block| (file.display().to_string(), block.to_owned())));
        }
        assert!(packs.len() > 25, "only {} packs", packs.len());
        packs
    }

    #[test]
    fn the_fields_are_those_that_are_read() {
        asked::forget();
        for (file, text) in packs() {
            let _ = crate::compile(&text, &file, &crate::Options::default());
        }
        let overrides = "pack: p\n---\nextends: p\n";
        let _ = crate::compile(overrides, "overrides.yaml", &crate::Options::default());
        let mut read: BTreeMap<&str, BTreeSet<&str>> = asked::all();
        // What only tests of packs have is no part of packs.
        for what in ["test file", "test", "test event", "expectation"] {
            read.remove(what);
        }
        let mut said: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for shape in SHAPES {
            said.insert(shape.what, shape.fields.iter().map(|field| field.name).collect());
        }
        // Read by hand, entry by entry.
        for by_hand in shapes::BY_HAND {
            said.remove(by_hand);
        }
        for (what, read) in &read {
            let said = said.get(what).unwrap_or_else(|| panic!("the schema knows no `{what}`"));
            let forgotten: Vec<_> = read.difference(said).collect();
            assert!(forgotten.is_empty(), "the schema of `{what}` lacks {forgotten:?}");
            let invented: Vec<_> = said.difference(read).collect();
            assert!(invented.is_empty(), "the schema of `{what}` has {invented:?}, which nobody reads");
        }
        let unread: Vec<_> = said.keys().filter(|what| !read.contains_key(*what)).collect();
        assert!(unread.is_empty(), "no pack has {unread:?}");
    }

    #[test]
    fn every_pack_satisfies_it() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for (file, text) in packs() {
            let pack: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
            let mistakes: Vec<String> =
                validator.iter_errors(&pack).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(mistakes.is_empty(), "{file}: {mistakes:#?}");
        }
        for wrong in [
            json!({"pack": "p", "ruels": []}),
            json!({"pack": "p", "rules": [{"id": "r", "never": "a", "always": {"event": "a", "assert": "x"}}]}),
            json!({"pack": "p", "rules": [{"id": "r", "count": {"off": "a"}}]}),
            json!({"pack": "p", "rules": [{"never": "a"}]}),
        ] {
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
    }
}
