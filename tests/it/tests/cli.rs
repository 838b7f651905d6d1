//! The commands as people meet them: what they teach, how they end, what they print.
use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::harness::{command, invar, root, signal};

#[test]
fn help_teaches_by_example() {
    let overview = invar(&["--help"], b"").expect(0).stdout;
    for said in ["serve", "demo", "check", "test", "replay", "invar demo", "0 fine, 1 found something, 2 could not run"]
    {
        assert!(overview.contains(said), "{said:?} is not in:\n{overview}");
    }
    for (name, taught) in [
        ("serve", &["invar serve --data", "127.0.0.1:4317", "[env: INVAR_DATA=]", "--alerts", "[default: 7d]"][..]),
        ("demo", &["--no-faults", "--seconds", "127.0.0.1:8080"]),
        ("check", &["invar check rules/", "--format"]),
        ("test", &["invar test rules/"]),
        ("explain", &["invar explain announced-batch-is-tracked", "PACK/ID"]),
        ("replay", &["invar replay --rules", "--complete", "--fail-on", "[possible values: text, json]"]),
    ] {
        let help = invar(&[name, "--help"], b"").expect(0).stdout;
        assert!(help.contains(&format!("Usage: invar {name}")), "{help}");
        // Wrapped lines are joined before they are searched.
        let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for said in taught {
            assert!(flat.contains(said), "{said:?} is not in:\n{help}");
        }
    }
    assert!(invar(&["--version"], b"").expect(0).stdout.starts_with("invar "));
}

#[test]
fn what_cannot_run_ends_with_2_and_says_why() {
    let none: [&str; 0] = [];
    for (arguments, said) in [
        (&none[..], "Usage: invar"),
        (&["chekc"], "check"),
        (&["check"], "<PATH>"),
        (&["check", "nowhere.yaml"], "nowhere.yaml cannot be read: No such file"),
        (&["check", "docs"], "docs holds no pack"),
        (&["test", "docs"], "no tests there"),
        (&["replay", "x.json"], "--rules"),
        (&["serve", "--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (&["demo", "--web", "0.0.0.0:1"], "can be reached from elsewhere"),
    ] {
        let ran = invar(arguments, b"").expect(2);
        assert!(ran.stderr.contains(said), "{arguments:?}: {said:?} is not in:\n{}", ran.stderr);
    }
}

#[test]
fn serve_lists_all_that_is_wrong_with_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("invar.yaml");
    fs::write(&config, "retain_size: much\nrules: /nowhere/rules\nweb: 0.0.0.0:8080\n").unwrap();
    let ran = invar(
        &[
            "serve",
            "--config",
            config.to_str().unwrap(),
            "--grpc",
            "nonsense",
            "--ingest-tokens",
            "a=short",
            "--retain-age",
            "7",
        ],
        b"",
    )
    .expect(2);
    for said in [
        "retain-size",
        "/nowhere/rules does not exist",
        "web: 0.0.0.0:8080",
        "grpc: `nonsense`",
        "`a` is shorter",
        "retain-age",
    ] {
        assert!(ran.stderr.contains(said), "{said:?} is not in:\n{}", ran.stderr);
    }
    fs::write(&config, "retain_sise: 1GiB\n").unwrap();
    let ran = invar(&["serve", "--config", config.to_str().unwrap()], b"").expect(2);
    assert!(ran.stderr.contains("retain_sise") && ran.stderr.contains("invar.yaml"), "{}", ran.stderr);
    let alerts = folder.path().join("alerts.yaml");
    fs::write(
        &alerts,
        "receivers:\n  - name: a\n  - name: a\n    pagerduty: {routing_key: short}\nroutes:\n  - receivers: [b]\n",
    )
    .unwrap();
    let ran = invar(&["serve", "--alerts", alerts.to_str().unwrap()], b"").expect(2);
    for said in ["two receivers are called `a`", "exactly one of", "32 characters", "a route names `b`"] {
        assert!(ran.stderr.contains(said), "{said:?} is not in:\n{}", ran.stderr);
    }
}

#[test]
fn serve_does_not_start_over_packs_with_mistakes_or_a_taken_port() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    fs::create_dir(&rules).unwrap();
    fs::write(rules.join("bad.yaml"), "pack: bad\nrules:\n  - id: a\n    key: [node]\n    nevr: x\n").unwrap();
    let data = folder.path().join("data");
    let serve = |more: &[&str]| {
        let mut arguments = vec!["serve", "--data", data.to_str().unwrap()];
        for port in ["--grpc", "--http", "--web"] {
            if !more.contains(&port) {
                arguments.extend([port, "127.0.0.1:0"]);
            }
        }
        arguments.extend(more);
        invar(&arguments, b"")
    };
    let ran = serve(&["--rules", rules.to_str().unwrap()]).expect(2);
    assert!(ran.stderr.contains("bad.yaml:5") && ran.stderr.contains("nevr"), "{}", ran.stderr);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = serve(&["--web", &address]).expect(2);
    assert!(ran.stderr.contains(&address) && ran.stderr.contains("--web"), "{}", ran.stderr);
}

#[test]
fn shipped_packs_are_clean_and_their_tests_pass() {
    let ran = invar(&["check", "rules/"], b"").expect(0);
    assert!(ran.stdout.contains("no mistakes, no warnings"), "{}{}", ran.stdout, ran.stderr);
    let ran = invar(&["test", "rules/"], b"").expect(0);
    let (_, counts) = ran.stdout.trim().rsplit_once(": ").unwrap();
    let passed: u32 = counts.split(' ').next().unwrap().parse().unwrap();
    assert!(counts.ends_with("passed, 0 failed") && passed > 50, "{}", ran.stdout);
    let listed = invar(&["test", "--verbose", "rules/"], b"").expect(0).stdout;
    assert_eq!(listed.lines().filter(|line| line.starts_with("ok ")).count(), passed as usize);
}

#[test]
fn check_draws_mistakes_and_warnings_and_fails_for_mistakes_only() {
    let folder = tempfile::tempdir().unwrap();
    let pack = folder.path().join("shop.yaml");
    let shop = |condition: &str| {
        let events = "events:\n  batch.lost:\n    batch: string\n";
        let rule = format!("- id: r\n  key: [node]\n  never:\n    event: batch.lost\n    where: {condition}\n");
        fs::write(&pack, format!("pack: shop\n{events}rules:\n{rule}")).unwrap();
        invar(&["check", pack.to_str().unwrap()], b"")
    };
    let ran = shop("!has(batch)").expect(1);
    assert!(ran.stderr.contains("10 |     where: !has(batch)\n   |            ^^^^^^^^^^^"), "{}", ran.stderr);
    assert!(ran.stderr.contains("= help: put all of it in quotes: `where: \"!has(batch)\"`"), "{}", ran.stderr);
    let ran = shop("batch != \"a\" || batch != \"b\"").expect(0);
    assert!(ran.stderr.contains("warning[W309]: this condition always holds"), "{}", ran.stderr);
    assert!(ran.stdout.contains("no mistakes, 1 warning"), "{}", ran.stdout);
}

#[test]
fn a_test_that_expects_too_little_or_too_much_fails() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = fs::read_to_string(root().join("rules/obyte-aa-composer.test.yaml")).unwrap();
    fs::copy(root().join("rules/obyte-aa-composer.yaml"), folder.path().join("obyte-aa-composer.yaml")).unwrap();
    // One expectation is moved to another rule: it is now both missing and too much.
    let altered = shipped.replacen("rule: kv-write-is-committed", "rule: commit-succeeds", 1);
    assert_ne!(altered, shipped, "the shipped tests expect this violation somewhere");
    let path = folder.path().join("obyte-aa-composer.test.yaml");
    fs::write(&path, altered).unwrap();
    let ran = invar(&["test", path.to_str().unwrap()], b"").expect(1);
    assert!(ran.stdout.contains("FAILED") && ran.stdout.contains("1 failed"), "{}", ran.stdout);
    assert!(ran.stdout.contains("obyte-aa-composer.test.yaml:"), "it says where: {}", ran.stdout);
}

#[test]
fn the_demo_shows_an_address_a_fault_and_pages() {
    let started = Instant::now();
    let mut child = command()
        .args(["demo", "--seconds", "25"])
        .args(["--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let watch = std::thread::spawn(move || {
        while started.elapsed() < Duration::from_secs(90) {
            if !std::path::Path::new(&format!("/proc/{id}/stat")).exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        signal(id, libc::SIGKILL);
    });
    let mut errors = child.stderr.take().unwrap();
    let log = std::thread::spawn(move || std::io::read_to_string(&mut errors).unwrap());
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    let status = child.wait().unwrap();
    watch.join().unwrap();
    let (printed, log) = (lines.join("\n"), log.join().unwrap());
    assert!(status.success(), "{status}\n{printed}\n{log}");
    let place = |what: &str| lines.iter().position(|line| line.contains(what));
    let (address, fault, page) =
        (place("Open  http://127.0.0.1:"), place("  fault   "), place("  page    PagerDuty paged"));
    assert!(address.is_some() && address < fault && fault < page, "{printed}\n{log}");
    assert!(place("  page    webhook verified").is_some(), "{printed}\n{log}");
}

#[test]
fn every_shipped_rule_is_explained_and_a_misspelt_one_is_offered() {
    let rules = root().join("rules");
    let path = rules.to_str().unwrap();
    let all = invar(&["explain", "--rules", path], b"").expect(0).stdout;
    let listed = all.lines().filter(|line| !line.starts_with(' ') && line.contains('/')).count();
    assert!(listed > 200, "{listed} rules are explained");
    let one = invar(&["explain", "APT-1b", "--rules", path], b"").expect(0).stdout;
    for said in ["aptos-quorum-store/announced-batch-is-tracked", "within 5 s", "silent", "24 h", "the breaker"] {
        assert!(one.contains(said), "{said:?} is not in:\n{one}");
    }
    let none = invar(&["explain", "anounced-batch-is-traked", "--rules", path], b"").expect(2);
    assert!(none.stderr.contains("did you mean `announced-batch-is-tracked`?"), "{}", none.stderr);
}
