// ---- layout of the drawings: all views at once, as large as possible, or one enlarged above the others
const GAP = 6, CAPTION = 22, LEAST = 48; // px; below the LEAST width, views are not shrunk further but scrolled
const NARROW = 700; // px; on narrower pages the room is above the views
document.documentElement.style.setProperty("--gap", GAP + "px");
document.documentElement.style.setProperty("--caption", CAPTION + "px");

// Returns the number of columns for `count` views of one aspect ratio, and the largest size with which all fit in a box.
// The fewest columns that give more than 90% of the best width are chosen, to leave width for what is beside the views.
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

// Sets the place of a view, within which its image keeps its proportions.
function place(panel, {width, height}) {
  const aspect = aspectOf(panel.view);
  panel.width = Math.min(width, height * aspect);
  panel.height = panel.width / aspect;
  panel.figure.style.width = width + "px";
  const margin = `${(height - panel.height) / 2}px auto`;
  panel.canvas.style.cssText = `width: ${panel.width}px; height: ${panel.height}px; margin: ${margin}`;
}

// Places all views in a box and returns their total width.
function placeViews(width, height) {
  const usual = usualAspect(scene.views.map(view => [usualAspect(view.sizes), 1])); // one aspect for all frames, so that nothing moves during playback
  const large = panels[state.large], small = panels.filter(panel => panel !== large);
  const strip = large && V > 1 ? Math.max(height * 0.22, Math.min(height * 0.4, LEAST / usual + CAPTION + 3 * GAP)) : 0;
  byId("views").classList.toggle("one", strip > 0);
  const cell = small.length ? fit(small.length, usual, width, large ? strip : height) : null;
  for (const panel of small) place(panel, cell);
  // a scroll bar takes space, so there is one only if it is needed
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
