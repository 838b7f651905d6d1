//! Every page and every form without JavaScript: a plain HTTP client that reads HTML and posts forms. What no page may
//! hold (inline scripts, other sites' posts, too many bytes) is looked for here, too.
use reqwest::Method;
use serde_json::{Value, json};

use super::{LOST, SHOP, broken_order, event, good_order, id, shop};
use crate::harness::{Home, Invar, Line, PATIENCE, Pager, Reply, eventually};

/// The most a page may weigh.
const PAGE_BYTES_MAX: usize = 300_000;

/// Posts a form as a browser without scripts does.
async fn post(invar: &Invar, path: &str, fields: &[(&str, &str)]) -> Reply {
    post_from(invar, path, fields, &[]).await
}

async fn post_from(invar: &Invar, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Reply {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
            )
            .collect()
    };
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
    all.extend_from_slice(headers);
    invar.api.ask(Method::POST, path, &all, body.join("&").into_bytes()).await
}

/// A page, which must be there.
async fn page(invar: &Invar, path: &str) -> String {
    let reply = invar.api.look(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    check(path, &reply);
    reply.text()
}

/// What holds for all pages.
fn check(path: &str, reply: &Reply) {
    let html = reply.text();
    let policy = reply.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    assert!(html.len() < PAGE_BYTES_MAX, "{path} has {} bytes", html.len());
    assert!(html.contains("<main id=\"main\">") && html.contains("<h1>"), "{path} has no heading");
    for script in html.match_indices("<script") {
        assert!(html[script.0..].starts_with("<script src=\"/static/"), "{path} has an inline script");
    }
    // Attributes only: what nodes say is escaped and has no quotes.
    for tag in html.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        for forbidden in [" style=\"", " onclick=\"", " onerror=\"", " onload=\"", "javascript:"] {
            assert!(!tag.contains(forbidden), "{path}: <{tag}> has {forbidden}");
        }
    }
}

#[tokio::test]
async fn empty_pages_say_what_would_fill_them() {
    let home = Home::new();
    let invar = home.start().await;
    let overview = page(&invar, "/").await;
    for wanted in
        ["Send a first event", &invar.http, &invar.grpc, "Say what must hold", "Say whom to page", "not acknowledged"]
    {
        assert!(overview.contains(wanted), "the overview does not say {wanted}");
    }
    for (path, wanted) in [
        ("/incidents?status=all", "No invariant has been broken yet"),
        ("/topology", "No pack in force declares a topology"),
        ("/rules", "No rule is in force"),
        ("/events", "No event has come yet"),
        ("/alerts", "Nobody can be paged"),
        ("/packs/new", "request-is-answered"),
    ] {
        let html = page(&invar, path).await;
        assert!(html.contains(wanted), "{path} does not say {wanted}");
    }
    let gone = invar.api.look("/nowhere").await;
    assert_eq!(gone.status, 404);
    assert!(gone.text().contains("There is no page at /nowhere"));
    assert!(!gone.text().contains("Nothing has been judged"), "a page about a mistake says nothing of verdicts");
    for path in [
        "/incidents/none",
        "/rules/no/rule",
        "/breakers/no/breaker",
        "/packs/none/edit",
        "/events/0-999-0",
        "/events/x",
    ] {
        let reply = invar.api.look(path).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
        check(path, &reply);
    }
}

#[tokio::test]
async fn an_incident_is_read_taken_and_closed_by_forms() {
    let home = shop();
    let invar = home.start().await;
    good_order(&invar, "n1", "o-0").await;
    let incident = broken_order(&invar, "n1", "o-1").await;
    let path = format!("/incidents/{}", id(&incident));
    let html = page(&invar, &path).await;
    for wanted in [
        "class=\"mark missing\"",
        "<code>order.stored</code> from <b>store</b> on <b>n1</b> should have come by",
        "each order.taken must be followed by order.stored within 1 s",
        "Look at the store.",
        "SHOP-1",
        "/events?attr=order.id%3Do-1",
    ] {
        assert!(html.contains(wanted), "the incident does not say {wanted}:\n{html}");
    }
    let taken =
        post(&invar, &format!("{path}/act"), &[("what", "acknowledge"), ("who", "Zoë"), ("text", "on it")]).await;
    assert_eq!((taken.status, taken.header("location")), (303, path.as_str()));
    let cookie = taken.header("set-cookie").split(';').next().unwrap().to_owned();
    let again = invar.api.ask(Method::GET, &path, &[("cookie", &cookie)], Vec::new()).await.text();
    assert!(again.contains("Zoë has it") && again.contains("name=\"who\" size=\"12\" value=\"Zoë\""), "{again}");
    assert!(again.contains(": on it"), "the note is not in the history");
    // Both are ticked in the list; closing them closes both.
    let other = broken_order(&invar, "n2", "o-2").await;
    let fields = [
        ("id", id(&incident)),
        ("id", id(&other)),
        ("what", "resolve"),
        ("who", "Zoë"),
        ("back", "/incidents?node=n2"),
    ];
    let closed = post(&invar, "/incidents/act", &fields).await;
    assert_eq!((closed.status, closed.header("location")), (303, "/incidents?node=n2"));
    for incident in [&incident, &other] {
        let now = invar.api.get(&format!("/api/v1/incidents/{}", id(incident))).await;
        assert_eq!(now["status"], "resolved");
    }
    let resolved = page(&invar, "/incidents?status=resolved&severity=critical&node=n1&q=o-1").await;
    assert!(resolved.contains(id(&incident)) && !resolved.contains(id(&other)));
    let none = post(&invar, "/incidents/act", &[("what", "resolve")]).await;
    assert_eq!(none.status, 422);
    let elsewhere =
        post(&invar, "/incidents/act", &[("id", "x"), ("what", "resolve"), ("back", "//evil.example")]).await;
    assert_eq!(elsewhere.header("location"), "/incidents");
}

#[tokio::test]
async fn packs_are_checked_saved_and_never_overwrite_what_someone_else_saved() {
    let home = shop();
    let invar = home.start().await;
    let edit = "/packs/shop/edit";
    assert_eq!(invar.api.look("/packs/shop").await.header("location"), edit);
    let broken = SHOP.replace("within: 1s", "within: soon");
    // A textarea's lines end with CR LF.
    let sent = broken.replace('\n', "\r\n");
    let checked = post(&invar, edit, &[("yaml", &sent), ("revision", "1"), ("save", "yes"), ("author", "Zoë")]).await;
    assert_eq!(checked.status, 200);
    let html = checked.text();
    assert!(html.contains("Not saved") && html.contains("line 22:") && html.contains("within: soon"), "{html}");
    let good = SHOP.replace("breakers:\n", LOST);
    let only_checked = post(&invar, edit, &[("yaml", &good), ("revision", "1")]).await.text();
    assert!(only_checked.contains("Checked: 2 rules, no mistakes"), "{only_checked}");
    assert_eq!(invar.api.get("/api/v1/packs/shop").await["revision"], 1, "checking saved something");
    let saved = post(&invar, edit, &[("yaml", &good), ("revision", "1"), ("save", "yes"), ("author", "Zoë")]).await;
    assert_eq!((saved.status, saved.header("location")), (303, "/rules?pack=shop"));
    // Someone who started from revision 1 comes too late, and loses nothing.
    let mine = SHOP.replace("in time.", "in good time.");
    let late = post(&invar, edit, &[("yaml", &mine), ("revision", "1"), ("save", "yes"), ("author", "Max")]).await;
    let html = late.text();
    assert_eq!(late.status, 409, "{html}");
    assert!(html.contains("Zoë saved revision 2 while you were editing revision 1"), "{html}");
    assert!(
        html.contains("in good time.")
            && html.contains("class=\"gone\"")
            && html.contains("name=\"revision\" value=\"2\"")
    );
    assert_eq!(invar.api.get("/api/v1/packs/shop").await["revision"], 2);
    let revision = page(&invar, "/packs/shop/revisions/2").await;
    assert!(revision.contains("Against revision 1") && revision.contains("nothing-is-lost"));
    let taken = post(&invar, "/packs/new", &[("yaml", &mine), ("revision", "0"), ("save", "yes")]).await;
    assert_eq!(taken.status, 409);
    assert!(taken.text().contains("There is a pack shop already"));
}

#[tokio::test]
async fn breakers_are_forced_by_forms_and_ask_for_a_reason() {
    let home = shop();
    let invar = home.start().await;
    good_order(&invar, "n1", "o-0").await;
    let path = "/breakers/shop/clerk-to-store";
    let force = format!("{path}/force");
    let base = [("scope", "node=n1"), ("network", "testnet"), ("what", "open"), ("minutes", "60")];
    let nameless = post(&invar, &force, &[&base[..], &[("reason", "a drill")]].concat()).await;
    assert_eq!(nameless.status, 422);
    let scopeless = post(&invar, &force, &[("what", "open"), ("who", "Zoë"), ("reason", "a drill")]).await;
    assert!(scopeless.status == 422 && scopeless.text().contains("lacks node"), "{}", scopeless.text());
    let forced = post(&invar, &force, &[&base[..], &[("who", "Zoë"), ("reason", "a drill")]].concat()).await;
    assert_eq!((forced.status, forced.header("location")), (303, path));
    let shown = eventually(PATIENCE, async || {
        let html = page(&invar, path).await;
        (html.contains("a drill") && html.contains("<b>Zoë</b>") && html.contains("until <time")).then_some(html)
    });
    let html = shown.await.expect("the breaker's page does not show who opened it, why and until when");
    assert!(html.contains("No node said so within the last hour"));
    let topology = page(&invar, "/topology").await;
    assert!(
        topology.contains("class=\"breaker open\"") && topology.contains("edge stopped"),
        "the channel is not stopped"
    );
    // What nodes say they act on is told apart from what they are told.
    let said = |node: &str, state: &str| {
        Line::new(node, "clerk", "circuit_breaker.state_changed", json!({"breaker": "clerk-to-store", "state": state}))
    };
    invar.send(&[said("n1", "closed"), said("n2", "open")]).await;
    let html = page(&invar, path).await;
    assert!(html.contains("not what it is told"), "{html}");
}

#[tokio::test]
async fn other_sites_cannot_post() {
    let home = shop();
    let invar = home.start().await;
    let incident = broken_order(&invar, "n1", "o-1").await;
    let path = format!("/incidents/{}/act", id(&incident));
    let host = invar.api.base().trim_start_matches("http://").to_owned();
    let own = format!("http://{host}");
    let fields = [("what", "comment"), ("who", "x"), ("text", "posted")];
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        // An old browser's Origin cannot be talked over by a made-up Fetch Metadata header of its own.
        &[("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
    ] {
        for target in [
            path.as_str(),
            "/incidents/act",
            "/packs/shop/edit",
            "/breakers/shop/clerk-to-store/force",
            "/theme",
            "/api/v1/breakers/clerk-to-store/trip",
        ] {
            let reply = post_from(&invar, target, &fields, headers).await;
            assert_eq!(reply.status, 403, "{target} with {headers:?}: {}", reply.text());
        }
    }
    let history = page(&invar, path.trim_end_matches("/act")).await;
    assert!(!history.contains("posted"), "another site's comment was kept");
    for headers in
        [&[("sec-fetch-site", "same-origin"), ("origin", own.as_str())][..], &[("origin", own.as_str())], &[]]
    {
        assert_eq!(post_from(&invar, &path, &fields, headers).await.status, 303, "{headers:?}");
    }
}

#[tokio::test]
async fn a_strange_name_that_points_at_loopback_is_not_answered() {
    let home = shop().flag("--public-url").flag("https://invar.example.org/");
    let invar = home.start().await;
    let look =
        async |host: &str| invar.api.ask(Method::GET, "/api/v1/packs", &[("host", host)], Vec::new()).await.status;
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example"] {
        assert_eq!(look(host).await, 421, "{host}");
    }
    for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "invar.example.org", "invar.example.org:443"] {
        assert_eq!(look(host).await, 200, "{host}");
    }
    let page = invar.api.ask(Method::GET, "/", &[("host", "evil.example")], Vec::new()).await;
    assert!(page.status == 421 && !page.text().contains("<main"), "a page was shown");
}

#[tokio::test]
async fn pages_stay_light_and_whole_under_hostile_storms() {
    let home = shop();
    let invar = home.start().await;
    let long = "<b>&\"'".repeat(40_000);
    let mut lines = Vec::new();
    for n in 0..400 {
        let mut line = event(&format!("n{n}"), "clerk", "order.taken", &format!("{n}-{}", "8dcf30d9".repeat(8)));
        for extra in 0..30 {
            line.attrs[format!("extra.{extra}")] = json!(format!("{extra}-{}", "f".repeat(60)));
        }
        lines.push(line);
    }
    let mut hostile = event("n0", "clerk", "order.taken", "long");
    hostile.attrs["note"] = json!(long);
    hostile.attrs["\u{202e}name<script>"] = json!("\u{0}\u{7}\u{1b}[31m<!channel>");
    lines.push(hostile);
    for part in lines.chunks(50) {
        invar.send(part).await;
    }
    let all = eventually(PATIENCE, async || {
        let found = invar.api.all("/api/v1/incidents?limit=1000").await;
        (found.len() >= 400).then_some(found)
    });
    let incidents: Vec<Value> = all.await.expect("not every node's order became an incident");
    let worst = incidents.iter().find(|incident| incident["node"] == "n0").unwrap();
    let of_n0 = format!("/incidents/{}", id(worst));
    for path in [
        "/",
        "/incidents",
        "/incidents?status=all&q=never",
        "/topology",
        "/rules",
        "/events",
        "/events?attr=extra.1=1-ff",
        "/alerts",
        &of_n0,
    ] {
        page(&invar, path).await;
    }
    let list = page(&invar, "/incidents").await;
    assert!(list.contains("400</b> incidents") && list.contains("Older ↓"));
    let next = list.split("href=\"").find_map(|rest| rest.split_once("\" rel=\"next\"").map(|(link, _)| link)).unwrap();
    let second = page(&invar, &next.replace("&amp;", "&").replace("&#38;", "&")).await;
    assert!(second.contains("↑ Newest"));
    // The long value is cut where it is shown, and whole one link further.
    let events = page(&invar, "/events?attr=order.id%3Dlong").await;
    let position = events.split("href=\"/events/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let event = page(&invar, &format!("/events/{position}")).await;
    assert!(
        event.contains("show all 240000 characters")
            && !event.contains("<!channel>")
            && !event.contains("name<script>")
    );
    let whole = invar.api.look(&format!("/events/{position}?all=1")).await.text();
    assert!(whole.contains(&"&lt;b&gt;&amp;&quot;&#39;".repeat(40_000)), "the value is not whole");
}

#[tokio::test]
async fn a_receiver_is_tried_from_its_page_and_what_it_says_is_shown() {
    let pager = Pager::start().await;
    let home = Home::new().alerts(&pager.alerts().replace("/webhook", "/nowhere"));
    let invar = home.start().await;
    assert!(page(&invar, "/alerts").await.contains("Send a test"));
    let taken = post(&invar, "/alerts/test", &[("receiver", "pagerduty")]).await;
    check("/alerts/test", &taken);
    assert!(taken.text().contains("✓ <b>pagerduty</b> took the test: 202 after"), "{}", taken.text());
    let refused = post(&invar, "/alerts/test", &[("receiver", "webhook")]).await;
    assert!(refused.text().contains("✗ <b>webhook</b> did not take the test: 404 after"), "{}", refused.text());
    assert_eq!(post(&invar, "/alerts/test", &[("receiver", "<nobody>")]).await.status, 404);
    invar.stop().await;
}
