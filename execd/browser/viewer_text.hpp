// The texts of the viewer's page: what a browser gets, word for word.
#pragma once
#include <string_view>

namespace execd::browser {

inline constexpr std::string_view kPage = R"page(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Desktop</title>
<style>
html, body { margin: 0; height: 100%; background: #202124; color: #e8eaed; font: 14px system-ui, sans-serif; }
body { display: flex; flex-direction: column; }
#bar { display: flex; gap: 1em; align-items: center; padding: .4em .8em; }
#bar[hidden] { display: none; }
#screen { flex: 1; min-height: 0; overflow: hidden; }
button { font: inherit; }
</style>
</head>
<body>
<div id="bar"><span id="state" role="status">The desktop</span><button id="connect" type="button">Connect</button></div>
<div id="screen"></div>
<script type="module" src="{{beside}}viewer.js"></script>
</body>
</html>
)page";

// Its query: path (of the socket, from where execd is mounted), autoconnect, reconnect,
// resize=scale|off|remote, view_only, shared; ticket, Authorization, tenantId and recording are handed on to
// the socket.
inline constexpr std::string_view kScript = R"script(const asked = new URLSearchParams(location.search);
const flag = (name, otherwise) => {
  const value = asked.get(name);
  return value === null ? otherwise : value === "" || value === "1" || value === "true";
};
const bar = document.getElementById("bar");
const state = document.getElementById("state");
const button = document.getElementById("connect");
const say = (text) => { state.textContent = text; bar.hidden = false; };

function socketUrl() {
  // ".../vnc", ".../vnc/x" and ".../static/x" all lie where execd is mounted.
  const root = location.pathname.replace(/\/(static\/[^/]*|vnc(\/[^/]*)?)$/, "");
  // Whatever path says, the socket is on this host.
  const path = (asked.get("path") || "websockify").replace(/^[\/\\]+/, "");
  const below = root === "" || `/${path}`.startsWith(`${root}/`) ? "" : root;
  const url = new URL(`${below}/${path}`, location.origin);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  for (const name of ["ticket", "Authorization", "tenantId", "recording"])
    if (asked.has(name) && !url.searchParams.has(name)) url.searchParams.set(name, asked.get(name));
  return url.href;
}

let RFB;
let pause = 1000;
function connect() {
  button.hidden = true;
  say("Connecting ...");
  const rfb = new RFB(document.getElementById("screen"), socketUrl(), { shared: flag("shared", true), credentials: { password: "" } });
  const resize = asked.get("resize") || "scale";
  rfb.scaleViewport = resize === "scale";
  rfb.resizeSession = resize === "remote";
  rfb.clipViewport = resize === "off";
  rfb.viewOnly = flag("view_only", false);
  rfb.addEventListener("connect", () => {
    pause = 1000;
    bar.hidden = true;
    document.body.dataset.state = "connected";
  });
  rfb.addEventListener("desktopname", (event) => { document.title = event.detail.name; });
  rfb.addEventListener("disconnect", (event) => {
    document.body.dataset.state = "disconnected";
    const again = !event.detail.clean && flag("reconnect", true);
    say(again ? "The connection was lost; connecting again ..." : "Disconnected");
    button.hidden = again;
    if (!again) return;
    setTimeout(connect, pause);
    pause = Math.min(pause * 2, 15000);
  });
}

try {
  RFB = (await import("./novnc/core/rfb.js")).default;
  button.addEventListener("click", connect);
  if (flag("autoconnect", false)) connect();
} catch (problem) {
  button.hidden = true;
  say(`noVNC could not be loaded: ${problem.message}`);
}
)script";

}  // namespace execd::browser
