//! Packs and expressions: anything written is a pack or a list of mistakes, and a pack can be run.

use std::sync::Arc;

use engine::{Engine, Input, Program, Row, Timing};
use event::{Identity, Position, Timestamp, Value, ValueRef};
use lang::Options;

/// Any text, as a pack.
///
/// # Panics
/// When it is neither a pack nor has a mistake, or a mistake points outside the text.
pub fn pack_yaml(data: &[u8]) {
    let Ok(source) = str::from_utf8(data) else { return };
    let (pack, diagnostics) = lang::compile(source, "fuzz.yaml", &Options::default());
    for diagnostic in &diagnostics {
        assert!(diagnostic.span.end <= source.len() && diagnostic.line >= 1 && diagnostic.column >= 1);
    }
    let _ = lang::render(&diagnostics, source);
    match pack {
        Some(pack) => run(pack),
        None => assert!(diagnostics.iter().any(lang::Diagnostic::is_error), "no pack, and nothing is wrong"),
    }
}

/// Any text, as an expression: parsed, and evaluated where it can be compiled.
///
/// # Panics
/// When a mistake points outside the text.
pub fn expression(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Err(error) = lang::syntax::parse(text) {
        assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{error:?}");
    }
    let quoted = serde_json::Value::from(text);
    let source = format!(
        "pack: fuzz\nrules:\n  - id: r\n    about: a\n    key: [node]\n    always:\n      event: e\n      assert: {quoted}\n"
    );
    let (pack, diagnostics) = lang::compile(&source, "fuzz.yaml", &Options::default());
    match pack {
        Some(pack) => run(pack),
        None => assert!(diagnostics.iter().any(lang::Diagnostic::is_error), "no pack, and nothing is wrong"),
    }
}

/// Runs a pack over a few events of each name it declares, and of `e`.
fn run(pack: engine::Pack) {
    let names: Vec<String> =
        pack.events.iter().map(|event| event.name.clone()).take(8).chain(["e".to_owned()]).collect();
    let mut engine = Engine::new(Program::link([Arc::new(pack)]), Timing::default(), Input::Live);
    let source = engine.source("net", "n1", "c");
    let list = [Value::from(1), Value::from("x"), Value::Null];
    let map = [(Box::<str>::from("k"), Value::from(1)), (Box::<str>::from("l"), Value::List(list.to_vec()))];
    let values = [
        ValueRef::Int(7),
        ValueRef::String("7"),
        ValueRef::Double(f64::NAN),
        ValueRef::Bool(true),
        ValueRef::Bytes(&[1, 2]),
        ValueRef::List(&list),
        ValueRef::Map(&map),
        ValueRef::Null,
    ];
    let mut said = Vec::new();
    for step in 0..16_u64 {
        for name in &names {
            let event = engine.event(name);
            let columns: Vec<_> = (0..engine.columns(event).len())
                .map(|column| values.get((column + step as usize) % (values.len() + 1)).copied())
                .collect();
            let ts = Timestamp(1_795_176_000_000_000_000 + step * 1_000_000_000);
            engine.row(&Row {
                event,
                name,
                source,
                ts,
                sent: ts,
                arrived: ts,
                identity: Identity(u128::from(step) << 64 | u128::from(event)),
                position: Position { partition: 0, frame: step, record: event },
                severity: 9,
                body: values[step as usize % values.len()],
                trace_id: "",
                process: None,
                columns: &columns,
            });
            engine.tick(ts, &mut said);
        }
    }
    engine.finish(true, &mut said);
}
