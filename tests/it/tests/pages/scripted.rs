//! What a person sees and does in a browser. A test without a browser says so and passes (see `harness::missing`).
use serde_json::json;

use super::{LOST, SHOP, broken_order, browser::Browser, event, good_order, id, shop};
use crate::harness::{Line, PATIENCE, eventually};

#[tokio::test]
async fn an_incident_appears_on_an_open_page_and_is_acknowledged_there() {
    let home = shop();
    let invar = home.start().await;
    let Some(browser) = Browser::open(&invar).await else { return };
    good_order(&invar, "n1", "o-0").await;
    browser.goto("/incidents").await;
    browser.expect_text("#live", "live").await;
    browser.run("window.stayed = true; return null;").await;
    let incident = broken_order(&invar, "n1", "o-1").await;
    browser.expect_text("#main", "order o-1 was taken but never stored").await;
    browser.expect("return window.stayed === true;").await;
    browser.expect("return document.title.startsWith('(1)');").await;

    browser.click(&format!("tr[data-id='{}'] .what a", id(&incident))).await;
    browser.find(".timeline .mark.missing").await;
    // The ghost stands in the lane of the component that would have sent it, after its trigger.
    browser.expect_text("#timeline", "order.stored from store on n1").await;
    let apart = "const y = (e) => e.getBoundingClientRect().y, x = (e) => e.getBoundingClientRect().x; \
                 const ghost = document.querySelector('.mark.missing circle'), seen = document.querySelector('.mark.seen circle'); \
                 return y(ghost) > y(seen) + 20 && x(ghost) > x(seen) + 100;";
    browser.expect(apart).await;
    browser.expect_text(".bracket", "expected order.stored by").await;
    browser.expect_text(".bracket", "1.000 s").await;

    browser.fill("#summary input[name=who]", "Zoë").await;
    browser.click("#summary button[value=acknowledge]").await;
    browser.expect_text("#summary", "Zoë has it").await;
    let now = invar.api.get(&format!("/api/v1/incidents/{}", id(&incident))).await;
    assert_eq!((now["status"].as_str(), now["acknowledged_by"].as_str()), (Some("acknowledged"), Some("Zoë")));
    browser.close().await;
}

#[tokio::test]
async fn the_editor_refuses_a_broken_pack_and_puts_a_good_one_in_force_at_once() {
    let home = shop();
    let invar = home.start().await;
    let Some(browser) = Browser::open(&invar).await else { return };
    let write = |yaml: &str| {
        format!(
            "const e = document.getElementById('yaml'); e.value = {}; e.dispatchEvent(new Event('input')); return null;",
            json!(yaml)
        )
    };
    browser.goto("/packs/shop/edit?line=20").await;
    browser.expect("return document.querySelectorAll('#lines').length === 1 && document.getElementById('lines').textContent.includes('30');").await;
    browser.run(&write(&SHOP.replace("within: 1s", "within: soon"))).await;
    browser.expect_text("#mistakes", "error[").await;
    browser.expect("return document.querySelector('#lines b')?.textContent.trim() === '22';").await;
    browser.click("button[name=save]").await;
    browser.expect_text("#mistakes", "Not saved").await;
    let pack = invar.api.get("/api/v1/packs/shop").await;
    assert_eq!(pack["revision"], 1, "a broken pack was saved");

    browser.run(&write(&SHOP.replace("breakers:\n", LOST))).await;
    browser.expect_text("#mistakes", "2 rules, no mistakes").await;
    browser.fill("input[name=author]", "Zoë").await;
    browser.click("button[name=save]").await;
    browser.expect_path("/rules").await;
    browser.expect_text("#main", "nothing-is-lost").await;
    invar.send(&[event("n1", "store", "order.lost", "o-9")]).await;
    let incident = invar.expect_incident("SHOP-2", "n1").await;
    assert_eq!(incident["revision"], 2);
    browser.goto("/rules/shop/nothing-is-lost").await;
    browser.expect_text("#says", "order.lost must never happen").await;
    browser.expect_text("#health", "added in revision 2 by Zoë").await;
    browser.close().await;
}

#[tokio::test]
async fn a_breaker_is_forced_open_and_closed_from_its_page() {
    let home = shop();
    let invar = home.start().await;
    let Some(browser) = Browser::open(&invar).await else { return };
    good_order(&invar, "n1", "o-0").await;
    for (button, wanted) in [("open", "open"), ("close", "closed")] {
        browser.goto("/topology").await;
        browser.click("#breakers .what a").await;
        browser.fill("input[name=scope]", "node=n1").await;
        browser.fill("input[name=network]", "testnet").await;
        browser.fill("input[name=who]", "Zoë").await;
        browser.fill("input[name=reason]", &format!("a drill: {wanted}")).await;
        browser.click(&format!("button[value={button}]")).await;
        browser.expect_text("#scopes", &format!("a drill: {wanted}")).await;
        let state = eventually(PATIENCE, async || {
            let breaker = invar.api.get("/api/v1/breakers/clerk-to-store?node=n1").await;
            (breaker["state"] == wanted && breaker["by"] == "Zoë").then_some(breaker)
        });
        assert!(state.await.is_some(), "the breaker is not {wanted}");
        browser.goto("/topology").await;
        browser.expect_text(".graph .breaker", wanted).await;
    }
    browser.close().await;
}

#[tokio::test]
async fn events_are_found_by_attribute_and_hostile_values_stay_text() {
    const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
    let home = shop();
    let invar = home.start().await;
    let Some(browser) = Browser::open(&invar).await else { return };
    let mut lines: Vec<Line> = (0..5).map(|n| event("n1", "clerk", "order.taken", &format!("o-{n}"))).collect();
    lines.push(event("n1", HOSTILE, "order.taken", HOSTILE));
    lines.push(event(HOSTILE, "store", "order.stored", "o-3"));
    invar.send(&lines).await;
    browser.goto("/events").await;
    browser.expect_text("#main", "<img src=x").await;
    browser.fill("input[name=attr]:not([type=hidden])", "order.id=o-3").await;
    browser.click("form[role=search] button").await;
    browser.expect("return document.querySelectorAll('table.events tbody tr').length === 2;").await;
    browser.find(".timeline .mark").await;
    browser.click("table.events .what a").await;
    browser.expect_text("table.attributes", "o-3").await;
    for page in ["/", "/events", "/topology", "/incidents"] {
        browser.goto(page).await;
        browser.expect_text("#main", "").await;
        let clean = "return document.title !== 'owned' && !document.querySelector('main img') && !document.querySelector('main script');";
        browser.expect(clean).await;
    }
    let incident = invar.expect_incident("SHOP-1", "n1").await;
    let path = format!("/api/v1/incidents/{}/violations", id(&incident));
    let violations = eventually(PATIENCE, async || {
        let found = invar.api.items(&path).await;
        found.iter().find(|violation| violation["key"]["order.id"] == HOSTILE).map(|found| found["id"].clone())
    });
    let violation = violations.await.expect("the hostile order is broken, too");
    browser.goto(&format!("/incidents/{}?violation={}", id(&incident), violation.as_str().unwrap())).await;
    browser.expect_text("#timeline", "<img src=x onerror=").await;
    browser.expect("return document.title !== 'owned' && !document.querySelector('main img');").await;
    browser.close().await;
}

#[tokio::test]
async fn single_keys_lead_through_the_pages() {
    let home = shop();
    let invar = home.start().await;
    let Some(browser) = Browser::open(&invar).await else { return };
    for node in ["n1", "n2"] {
        broken_order(&invar, node, "o-1").await;
    }
    browser.goto("/").await;
    for (key, path) in
        [("i", "/incidents"), ("t", "/topology"), ("r", "/rules"), ("e", "/events"), ("a", "/alerts"), ("o", "/")]
    {
        browser.ready().await;
        browser.press("g").await;
        browser.press(key).await;
        browser.expect_path(path).await;
        if path == "/incidents" {
            browser.press("/").await;
            browser.expect("return document.activeElement?.name === 'q';").await;
            browser.press("gt").await;
            browser.expect_path("/incidents").await;
            browser.run("document.activeElement.value = ''; document.activeElement.blur(); return null;").await;
        }
    }
    browser.ready().await;
    browser.press("?").await;
    browser.expect("return document.getElementById('help').open;").await;
    browser.expect_text("#help", "go to Topology").await;
    browser.click("#help button").await;
    browser.goto("/incidents").await;
    browser.ready().await;
    browser.press("j").await;
    browser.press("j").await;
    browser.expect("return document.querySelectorAll('tr.at').length === 1 && document.querySelectorAll('tbody tr')[1].classList.contains('at');").await;
    browser.press("x").await;
    browser.expect("return document.querySelectorAll('tbody input:checked').length === 1;").await;
    // What is ticked is acknowledged, and nothing else.
    browser.press("a").await;
    browser.expect("return document.querySelectorAll('tbody tr')[1].textContent.includes('acknowledged');").await;
    browser.expect("return document.querySelectorAll('tbody tr')[0].textContent.includes('open');").await;
    browser.ready().await;
    browser.press("e").await;
    browser.expect("return document.querySelectorAll('tbody tr').length === 2;").await;
    browser.press("j").await;
    browser.press("\u{e007}").await;
    browser.expect_path("/incidents/").await;
    browser.ready().await;
    browser.press("c").await;
    browser.expect("return document.activeElement?.name === 'text';").await;
    browser.run("document.activeElement.blur(); return null;").await;
    browser.press("e").await;
    browser.expect("return document.body.textContent.includes('Reopen');").await;
    browser.close().await;
}

#[tokio::test]
async fn the_chosen_theme_is_there_before_the_next_page_is_drawn() {
    let home = shop();
    let invar = home.start().await;
    let Some(browser) = Browser::open(&invar).await else { return };
    browser.goto("/").await;
    let light = "return getComputedStyle(document.body).backgroundColor;";
    let before = browser.run(light).await;
    browser.click("#theme").await;
    browser
        .expect("return document.documentElement.dataset.theme === 'dark' && document.cookie.includes('theme=dark');")
        .await;
    let dark = browser.run(light).await;
    assert_ne!(before, dark);
    browser.goto("/rules").await;
    // The server wrote it: no script had to run first.
    browser.expect("const r = new XMLHttpRequest(); r.open('GET', '/rules', false); r.send(); return r.responseText.includes('<html lang=\"en\" data-theme=\"dark\">');").await;
    assert_eq!(browser.run(light).await, dark);
    browser.close().await;
}

#[tokio::test]
async fn nothing_scrolls_sideways_on_a_phone() {
    let home = shop();
    let invar = home.start().await;
    let Some(browser) = Browser::open_narrow(&invar, 400).await else { return };
    let long = "8dcf30d942f9d5752e0b9de213a58b43a98ae2a96d4a479c3a3eddde36d4ee1a".repeat(4);
    good_order(&invar, "n1", "o-0").await;
    let incident = broken_order(&invar, "a-node-with-a-rather-long-name-2.validators.example.org", &long).await;
    let incident = format!("/incidents/{}", id(&incident));
    for page in [
        "/",
        "/incidents",
        &incident,
        "/topology",
        "/breakers/shop/clerk-to-store",
        "/rules",
        "/rules/shop/order-is-stored",
        "/packs/shop/edit",
        "/packs/shop/revisions/1",
        "/events",
        "/alerts",
    ] {
        browser.goto(page).await;
        let wide = browser
            .run(
                "const w = document.documentElement.clientWidth; \
                 return [document.documentElement.scrollWidth, w, [...document.querySelectorAll('main *')] \
                 .filter((e) => e.getBoundingClientRect().right > w + 1 && !e.closest('.drawing,.scroll,pre,textarea,svg')) \
                 .slice(0, 4).map((e) => e.outerHTML.slice(0, 120))];",
            )
            .await;
        let (scroll, client) = (wide[0].as_u64().unwrap(), wide[1].as_u64().unwrap());
        assert!(scroll <= client && client <= 400, "{page} is {scroll} wide in {client}: {}", wide[2]);
    }
    browser.close().await;
}

#[tokio::test]
async fn a_page_that_cannot_refresh_says_so() {
    let home = shop();
    let invar = home.start().await;
    let Some(browser) = Browser::open(&invar).await else { return };
    browser.goto("/").await;
    browser.expect_text("#live", "live").await;
    invar.kill().await;
    browser.expect_text("#live", "not refreshed").await;
    browser.close().await;
}
