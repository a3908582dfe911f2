//! `GET /`: a page for browsers, and nothing new for programs.

use townlet_wire::service::{CONSOLE, HEALTH, METRICS, OPENAPI};

use super::client::Served;

const BROWSER: &str = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

#[test]
fn a_browser_gets_a_page_and_a_program_what_it_had() {
    let served = Served::start();
    let page = served.get("/", BROWSER);
    assert_eq!(page.status, 200, "{}", page.body);
    for header in
        ["content-type: text/html; charset=utf-8", "content-security-policy: default-src 'none'", "vary: accept"]
    {
        assert!(page.head.contains(header), "{header}: {}", page.head);
    }
    let view = served.shard.view().expect("it lives").0;
    let run = format!("<td>run</td><td>{}</td>", view.run_id);
    for part in
        [run.as_str(), "<td>health</td><td>ok</td>", "href=\"/metrics\"", "href=\"/openapi.json\"", HEALTH, CONSOLE]
    {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(!page.body.contains("<script") && !page.body.contains(&view.agents[0].name), "{}", page.body);
    // Every link leads somewhere.
    for link in page.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert_eq!(served.get(link, "").status, 200, "{link}");
    }
    assert!(page.body.contains(METRICS) && page.body.contains(OPENAPI));
    for accept in ["", "accept: */*\r\n", "accept: application/json\r\n"] {
        let reply = served.get("/", accept);
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (404, Some("E_NOT_FOUND")), "{accept}");
    }
}
