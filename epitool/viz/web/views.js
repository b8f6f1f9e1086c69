// ---- images, with detected joints (dots) and the projected pose (lines)
// width of a view in px, above which heads have text tags, below which its caption is short, and is only its name
const ROOMY = 170, SLIM = 130, SLIMMEST = 90;
const crowd = scene.crowd && unpackedCrowd(scene.crowd);

// Returns all people by frame and view, {number, joints}, and the number of the chosen person, 0 for none.
function unpackedCrowd({xy, missing, counts, numbers, chosen, colors}) {
  const pixels = new Int16Array(bytes(xy)), cells = [];
  let i = 0;
  for (const count of counts) cells.push(Array.from({length: count}, () => {
    const at = pixels.subarray(2 * J * i, 2 * J * (i + 1));
    const joints = scene.joints.map((_, j) => at[2 * j] === missing ? null : [at[2 * j], at[2 * j + 1]]);
    return {number: numbers[i++], joints};
  }));
  return {colors, of: (f, v) => cells[f * V + v], chosen: (f, v) => chosen[f * V + v]};
}

const panels = scene.views.map((view, v) => {
  const [figure, canvas, caption] = ["figure", "canvas", "figcaption"].map(tag => document.createElement(tag));
  const [name, said] = ["button", "span"].map(tag => document.createElement(tag));
  const panel = {v, view, figure, canvas, name, said, images: new Map(), width: 0, height: 0};
  name.textContent = view.name;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", view.name);
  caption.append(name, said);
  figure.append(canvas, caption);
  byId("views").append(figure);
  name.addEventListener("click", () => enlarge(v));
  canvas.addEventListener("click", e => clicked(panel, e));
  canvas.addEventListener("pointermove", e => hovered(panel, e));
  canvas.addEventListener("pointerleave", e => point(e));
  return panel;
});

// Enlarges a view; if it is already enlarged or does not exist, shows all views at equal size.
function enlarge(v) {
  state.large = v === state.large || v >= V ? -1 : v;
  panels.forEach(panel => {
    const large = panel.v === state.large;
    panel.figure.classList.toggle("large", large);
    panel.name.setAttribute("aria-pressed", large);
    panel.name.title = large ? "show all views alike (Esc)" : "enlarge" + (panel.v < 9 ? ` (${panel.v + 1})` : "");
  });
  show(state.frame);
}

// Returns the frame's image, undefined if there is none, or null while it is being decoded.
function imageOf(panel) {
  const {frame} = state, data = panel.view.images[frame];
  if (!data) return undefined;
  if (!panel.images.has(frame)) panel.images.set(frame, Object.assign(new Image(), {src: data}));
  const image = panel.images.get(frame);
  image.onload = () => { if (state.frame === frame) drawView(panel); };
  return image.complete ? image : null;
}

function drawView(panel) {
  const image = imageOf(panel);
  if (image === null) return; // keeps the last drawing until the image is decoded
  const {v, width, height} = panel, {frame} = state, pen = clear(panel.canvas, width, height);
  if (image && image.naturalWidth) pen.drawImage(image, 0, 0, width, height);
  const scale = scaleOf(panel), thick = Math.max(1.2, Math.min(3, Math.max(width, height) / 200));
  const at = (points, j) => { const p = pixel(points, frame, v, j); return p && [p[0] * scale, p[1] * scale]; };
  if (crowd) drawOthers(pen, panel, scale, thick);
  for (const who of people) drawBones(pen, j => at(who.own || who.xy, j), thick * (crowd ? 1.5 : 1), who);
  drawEpipolarLine(panel, pen, scale);
  for (const who of people) drawDetected(pen, who, at, thick);
  if (crowd) drawTag(pen, panel, scene.joints.map((_, j) => at(xy, j)), tagOfChosen(frame, v), "#000", "#fff");
  const written = [], inside = p => p && p[0] >= 0 && p[1] >= 0 && p[0] <= width && p[1] <= height;
  if (several && width > ROOMY) for (const who of people)
    tagHead(pen, scene.joints.map((_, j) => at(who.own, j)).filter(inside), who, width, written);
  describe(panel);
}

// Draws a person's detected joints, each with a line to where the pose has it.
function drawDetected(pen, who, at, thick) {
  for (let j = 0; j < J; j++) {
    const p = at(who.xy, j), q = who.own && at(who.own, j), color = inkOf(who, scene.sides[j]);
    if (p && q) line(pen, p, q, color, thick);
    if (p) dot(pen, p, 1.3 * thick + (shown(who, j) ? 3 : 0), "#fff", color, 0.8 * thick);
  }
}

const scaleOf = panel => panel.width / sizeOf(panel.view)[0];

// Draws bones in their colours, with a rim that sets them off from the background: dark, as some of several people are
// bright.
function drawBones(pen, at, thick, who) {
  const bones = scene.bones.map(([a, b, side]) => [at(a), at(b), inkOf(who, side)]).filter(([p, q]) => p && q);
  for (const [p, q] of bones) line(pen, p, q, several ? "rgba(0,0,0,0.75)" : "rgba(255,255,255,0.7)", thick + 1.6);
  for (const [p, q, color] of bones) line(pen, p, q, color, thick);
}

function drawOthers(pen, panel, scale, thick) {
  for (const {number, joints} of crowd.of(state.frame, panel.v)) {
    const at = joints.map(p => p && [p[0] * scale, p[1] * scale]), color = crowd.colors[(number - 1) % crowd.colors.length];
    for (const [a, b] of scene.bones) if (at[a] && at[b]) line(pen, at[a], at[b], "rgba(0,0,0,0.75)", thick + 2);
    for (const [a, b] of scene.bones) if (at[a] && at[b]) line(pen, at[a], at[b], color, thick);
    if (panel.width > ROOMY) drawTag(pen, panel, at, String(number), color, "#000");
  }
}

const tagOfChosen = (f, v) => (crowd.chosen(f, v) || "") + " chosen";

// Writes the name of one of several people over their head on their colour, clear of the names written already.
function tagHead(pen, joints, {name, color}, width, written) {
  if (!joints.length) return;
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "left";
  const top = joints.reduce((a, b) => b[1] < a[1] ? b : a), wide = pen.measureText(name).width + 6;
  const x = Math.max(0, Math.min(width - wide, top[0] - wide / 2)), y = Math.max(top[1] - 9, 13);
  const steps = [1, 2, 3, 4, 5, 6, 7, 8], rows = [0, ...steps.map(n => -n), ...steps];
  const places = rows.map(row => [x, y + 16 * row]).filter(place => place[1] >= 13);
  const [left, base] = placeOf(places, wide, written), [red, green, blue] = color.match(/\d+/g);
  pen.fillStyle = color;
  pen.fillRect(left, base - 12, wide, 15);
  pen.fillStyle = 2 * red + 3 * green + +blue > 700 ? "#000" : "#fff";
  pen.fillText(name, left + 3, base - 1);
}

// Writes a tag over a person's head; a mark in a small view.
function drawTag(pen, {width}, joints, text, ink, rim) {
  const known = joints.filter(p => p);
  if (!known.length) return;
  const top = known.reduce((a, b) => b[1] < a[1] ? b : a), word = width > ROOMY ? text : "▼";
  pen.font = "bold 13px system-ui, sans-serif";
  pen.textAlign = "center";
  const half = pen.measureText(word).width / 2 + 3;
  write(pen, word, Math.max(half, Math.min(width - half, top[0])), Math.max(top[1] - 8, 13), ink, rim);
}

// Writes the caption of a view: camera, image and frame, or the distance of the pose from the detected joints.
function describe({v, view, name, said, width}) {
  const {frame} = state, image = scene.names[frame], apart = residual(frame, v);
  const unseen = xy && people.every(who => scene.joints.every((_, j) => !pixel(who.xy, frame, v, j)));
  name.textContent = image ? image.camera : view.name;
  said.hidden = width < SLIMMEST;
  said.textContent = image ? image.image : !isNaN(apart) ? apart.toFixed(1) + (width < SLIM ? " px" : " px off") : !unseen ? ""
    : crowd && crowd.of(frame, v).length ? "chosen person not seen" : "nobody seen";
  said.title = image ? image.path : isNaN(apart) ? ""
    : "mean distance of the pose, as this camera sees it, from what was detected";
}

// Returns what the pointer is at in a view, {text, who, j}, without `who` for people who are not followed, or null.
function under(panel, event) {
  const {frame} = state, scale = scaleOf(panel), [x, y] = within(panel.canvas, event);
  const reach = Math.min(12, Math.max(5, panel.width / 24)) / scale;
  const tag = crowd ? tagOfChosen(frame, panel.v) + ": " : "";
  const joints = people.flatMap(who => scene.joints.map((_, j) => {
    const p = (who.xy && pixel(who.xy, frame, panel.v, j)) || (who.own && pixel(who.own, frame, panel.v, j));
    return p && [...p, j, tag, who];
  }));
  const others = (crowd ? crowd.of(frame, panel.v) : [])
    .flatMap(({number, joints}) => joints.map((p, j) => p && [...p, j, number + ": "]));
  const at = [x / scale, y / scale], found = nearest(joints, at, reach) || nearest(others, at, reach);
  if (!found) return null;
  const [, , j, whose, who] = found, off = who ? distance(who, frame, panel.v, j) : NaN;
  return {who, j, text: whose + named(who || {}, j) + (isNaN(off) ? "" : ", " + off.toFixed(1) + " px off")};
}

function hovered(panel, event) {
  const found = under(panel, event);
  point(event, found ? found.text : "", found && found.who ? found : null);
  panel.canvas.style.cursor = found && found.who && hasLines() ? "crosshair" : "";
}

function clicked(panel, event) {
  const found = under(panel, event);
  if (found && found.who && hasLines()) choose({v: panel.v, ...found});
  else enlarge(panel.v);
}
