// ---- where the drawings are: all views at once, as large as can be, or one enlarged over the others
const GAP = 6, CAPTION = 22, LEAST = 48; // px; narrower than that no view gets, but scrolls
const NARROW = 700; // px; in less than that the room is above the views
document.documentElement.style.setProperty("--gap", GAP + "px");
document.documentElement.style.setProperty("--caption", CAPTION + "px");

// Columns of so many views of one aspect, and the size that each can have so that all fit in a box: few columns where
// that costs little, for what is beside them has the rest of the width.
function fit(count, aspect, width, height) {
  const ways = Array.from({length: count}, (_, i) => {
    const columns = i + 1, rows = Math.ceil(count / columns);
    const wide = (width - GAP * (columns + 1)) / columns, high = (height - GAP * (rows + 1)) / rows - CAPTION;
    return {columns, width: Math.floor(Math.min(wide, high * aspect))};
  });
  const largest = Math.max(...ways.map(way => way.width));
  const way = ways.find(way => way.width > 0.9 * largest) || ways[0];
  if (largest < LEAST) {
    way.columns = Math.min(count, Math.max(1, Math.floor(width / (LEAST + GAP))));
    way.width = LEAST;
  }
  return {...way, height: Math.floor(way.width / aspect)};
}

const sizeOf = view => view.sizes[state.frame] || view.sizes[0];
const aspectOf = view => sizeOf(view)[0] / sizeOf(view)[1];
const usualAspect = sizes => Math.exp(sizes.reduce((sum, [w, h]) => sum + Math.log(w / h), 0) / sizes.length); // of all frames

// Gives a view its place, within which its image keeps its proportions.
function place(panel, {width, height}) {
  const aspect = aspectOf(panel.view);
  panel.width = Math.min(width, height * aspect);
  panel.height = panel.width / aspect;
  panel.figure.style.width = width + "px";
  const margin = `${(height - panel.height) / 2}px auto`;
  panel.canvas.style.cssText = `width: ${panel.width}px; height: ${panel.height}px; margin: ${margin}`;
}

// Places all views in a box; returns how wide they are together.
function placeViews(width, height) {
  const usual = usualAspect(scene.views.map(view => [usualAspect(view.sizes), 1])); // so that nothing moves while it plays
  const large = panels[state.large], small = panels.filter(panel => panel !== large);
  const strip = large && V > 1 ? Math.max(height * 0.22, Math.min(height * 0.4, LEAST / usual + CAPTION + 3 * GAP)) : 0;
  byId("views").classList.toggle("one", strip > 0);
  const cell = small.length ? fit(small.length, usual, width, large ? strip : height) : null;
  for (const panel of small) place(panel, cell);
  // a scroll bar takes room, so there is none unless one is needed
  byId("views").classList.toggle("many", !!cell && cell.width === LEAST);
  const used = cell ? cell.columns * (cell.width + GAP) + GAP : 0;
  if (!large) return used;
  const size = fit(1, usualAspect(large.view.sizes), width, height - strip);
  place(large, size);
  return Math.max(used, size.width + 2 * GAP);
}

function layOut() {
  const main = document.querySelector("main"), {clientWidth: width, clientHeight: height} = main;
  const both = !room.hidden && V > 0, below = both && width < Math.max(NARROW, height * 0.8);
  main.style.gridTemplate = "";
  if (below) {
    const views = Math.round(height * 0.55);
    placeViews(width, views);
    main.style.gridTemplate = `minmax(0, 1fr) ${views}px / minmax(0, 1fr)`;
  } else if (both) {
    const views = placeViews(width * (state.large < 0 ? 0.55 : 0.65), height);
    main.style.gridTemplate = `minmax(0, 1fr) / minmax(0, 1fr) ${views}px`;
  } else if (V) placeViews(width, height);
}
