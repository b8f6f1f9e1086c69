// ---- errors over all frames, playback, keys, and the address of a frame and a view
const SPEEDS = [0.125, 0.25, 0.5, 1, 2, 4];
const NOTHING = 0.05; // px; smaller errors come from rounding

// Returns the distance of a projected joint from the detected one in px, or NaN.
function distance({xy, own}, f, v, j) {
  const p = xy && pixel(xy, f, v, j), q = own && pixel(own, f, v, j);
  return p && q ? Math.hypot(p[0] - q[0], p[1] - q[1]) : NaN;
}

function mean(values) {
  const known = values.filter(value => !isNaN(value));
  return known.reduce((a, b) => a + b, 0) / known.length;
}

const residual = (f, v) => mean(people.flatMap(who => scene.joints.map((_, j) => distance(who, f, v, j))));
const residuals = scene.frames.map((_, f) => mean(scene.views.map((_, v) => residual(f, v))));
const most = Math.max(...residuals.filter(value => !isNaN(value)));

function drawErrors() {
  const strip = byId("errors"), {clientWidth: width, clientHeight: height} = strip, pen = clear(strip, width, height);
  const step = width / F;
  residuals.forEach((value, f) => {
    const high = (height - 2) * value / most;
    pen.fillStyle = paint(f === state.frame ? "--now" : "--floor");
    if (!isNaN(high)) pen.fillRect(f * step, height - high, Math.max(step - 1, 1), high);
  });
  const here = residuals[state.frame];
  byId("worst").textContent = isNaN(here) ? "" : `reprojection error ${here.toFixed(1)} px (most: ${most.toFixed(1)})`;
}

function draw() {
  drawRoom();
  panels.forEach(drawView);
}

// Goes to a frame by its index, and lays out and draws everything again.
function show(f) {
  state.frame = Math.max(0, Math.min(F - 1, f));
  const image = scene.names[state.frame], number = scene.frames[state.frame];
  const text = image ? `${image.camera}, frame ${image.frame ?? "unknown"}` : `frame ${number}`;
  byId("slider").value = state.frame;
  byId("slider").setAttribute("aria-valuetext", text);
  byId("number").textContent = F ? `${text} (${state.frame + 1}/${F})` : "";
  layOut();
  draw();
  if (!byId("errors").hidden) drawErrors();
  if (!state.playing) leaveAddress();
}

function setPlaying(on) {
  state.playing = on && F > 1;
  byId("play").textContent = state.playing ? "Pause" : "Play";
  if (!state.playing) leaveAddress();
}

function setSpeed(i) {
  state.speed = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, i))];
  byId("speed").value = state.speed;
  byId("speed").title = `${+(scene.fps * state.speed).toPrecision(3)} of the frames shown here a second`;
}

let last = 0, due = 0;
function tick(now) {
  if (state.playing) due += Math.min(now - last, 500) / 1000 * scene.fps * state.speed;
  last = now;
  if (due >= 1) show((state.frame + Math.floor(due)) % F);
  due %= 1;
  requestAnimationFrame(tick);
}

// Sets an address such as `#frame=12&view=cam02`, which leads to a frame number and an enlarged view and can be shared.
function leaveAddress() {
  const there = new URLSearchParams();
  if (state.frame) there.set("frame", scene.frames[state.frame]);
  if (state.large >= 0) there.set("view", scene.views[state.large].name);
  try {
    history.replaceState(null, "", there.size ? "#" + there : location.pathname + location.search);
  } catch {
    // some browsers do not allow this for pages from files, or not so often
  }
}

function goToAddress() {
  const there = new URLSearchParams(location.hash.slice(1));
  const f = scene.frames.indexOf(Number(there.get("frame") ?? NaN));
  const v = scene.views.findIndex(view => view.name === there.get("view"));
  if (f >= 0) state.frame = f;
  state.large = -1;
  enlarge(v < 0 ? V : v);
}

const inRoom = scene.takes.length > 0 || xyz !== null;
const speedBy = by => setSpeed(SPEEDS.indexOf(state.speed) + by);
// actions of the keys and their names on the page; keys without a use on this page are left out
const KEYS = [
  {on: F > 1, named: "space", does: "play", keys: {" ": () => setPlaying(!state.playing)}},
  {on: F > 1, named: "← →", does: "frame", keys: {
    ArrowLeft: () => show(state.frame - 1), ArrowRight: () => show(state.frame + 1),
    Home: () => show(0), End: () => show(F - 1),
  }},
  {on: F > 1, named: "↑ ↓", does: "speed", keys: {ArrowUp: () => speedBy(1), ArrowDown: () => speedBy(-1)}},
  {on: V > 1, named: "1–" + Math.min(V, 9), does: "enlarge a view",
    keys: Object.fromEntries(panels.slice(0, 9).map((_, v) => [v + 1, () => enlarge(v)]))},
  {on: V > 1, named: "Esc", does: "all views", keys: {Escape: () => enlarge(V)}},
  {on: hasLines(), named: "J", does: "next joint", keys: {j: () => chooseNext(1), J: () => chooseNext(-1)}},
  {on: inRoom, named: "shift ←↑→↓", does: "turn", keys: {
    "shift ArrowLeft": () => turnBy(-0.1, 0), "shift ArrowRight": () => turnBy(0.1, 0),
    "shift ArrowUp": () => turnBy(0, -0.1), "shift ArrowDown": () => turnBy(0, 0.1),
  }},
  {on: inRoom, named: "+ −", does: "zoom", keys: {
    "+": () => zoomBy(0.9), "=": () => zoomBy(0.9), "-": () => zoomBy(1.1),
  }},
  {on: inRoom, named: "0", does: "first view", keys: {0: lookAgain}},
].filter(key => key.on);
const actions = Object.assign({}, ...KEYS.map(key => key.keys));

document.addEventListener("keydown", e => {
  const {tagName} = e.target, arrow = e.key.startsWith("Arrow");
  if (e.ctrlKey || e.altKey || e.metaKey || tagName === "SELECT") return;
  if (tagName === "BUTTON" && e.key === " " || tagName === "INPUT" && (e.key === "Home" || e.key === "End")) return;
  const name = (e.shiftKey && arrow ? "shift " : "") + e.key, action = Object.hasOwn(actions, name) && actions[name];
  if (!action) return;
  e.preventDefault();
  action();
});
byId("slider").addEventListener("input", e => show(+e.target.value));
byId("play").addEventListener("click", () => setPlaying(!state.playing));
byId("speed").addEventListener("change", e => setSpeed(e.target.selectedIndex));
byId("errors").addEventListener("click", e => show(Math.floor(F * e.offsetX / e.target.clientWidth)));
new ResizeObserver(() => show(state.frame)).observe(document.querySelector("main"));
addEventListener("hashchange", goToAddress);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(state.frame));

// Returns the legend's entry of one of several people.
function keyOf({name, color}) {
  const entry = document.createElement("span");
  entry.className = "key";
  entry.style.setProperty("--c", color);
  entry.textContent = name;
  return entry;
}

function start() {
  byId("title").textContent = document.title = scene.title;
  byId("facts").textContent = scene.facts;
  byId("sides").hidden = !F;
  if (several) byId("sides").replaceChildren(...people.map(keyOf));
  if (!several) byId("crowd").hidden = !crowd;
  room.hidden = !inRoom;
  roomCanvas.setAttribute("aria-label", (several ? "Poses" : xyz ? "Pose" : "Cameras") + " in space; drag turns, the wheel zooms");
  byId("grid").textContent = scene.gridSaid;
  byId("views").hidden = !V;
  document.querySelector("footer").hidden = !F && room.hidden;
  byId("time").hidden = F < 2;
  byId("slider").max = Math.max(F - 1, 0);
  byId("errors").hidden = byId("worst").hidden = !(F > 1 && most > NOTHING && isFinite(most));
  const said = speed => speed + "×" + (speed === 1 && scene.realTime ? " (real time)" : "");
  byId("speed").append(...SPEEDS.map(speed => new Option(said(speed), speed)));
  for (const {named, does} of KEYS.filter(key => key.named)) {
    const entry = document.createElement("span"), key = document.createElement("kbd");
    key.textContent = named;
    entry.append(key, does);
    byId("keys").append(entry);
  }
  setSpeed(SPEEDS.indexOf(1));
  tell();
  goToAddress();
  requestAnimationFrame(tick);
}
start();
