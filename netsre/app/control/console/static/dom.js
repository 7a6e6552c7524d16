// Small helpers for the document. Text only ever enters through textContent or setAttribute with a fixed
// name: labels and evidence come from the network and must never be read as markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** Make an element: `el("p", {class: "quiet"}, "text", child)`. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Set the text of a node; an unchanged text touches nothing, so selection and screen readers stay calm. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

/**
 * Make the children of `parent` match `items`: known keys keep their node, with its focus, scroll and open
 * details; the rest is made or removed.
 */
export function reconcile(parent, items, key, create, update) {
  const wanted = new Set(items.map(key));
  const known = new Map();
  for (const child of [...parent.children]) {
    const name = child.dataset.key;
    // Removed first, so that the nodes that stay are not moved: moving one would drop its focus.
    if (wanted.has(name) && !known.has(name)) known.set(name, child);
    else child.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const node = known.get(name) ?? create(item);
    known.delete(name);
    node.dataset.key = name;
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
}

/** The parts of a node by their `data-part`, for updates in place. */
export function part(node, name) {
  return node.querySelector(`[data-part="${name}"]`);
}

/** A word with a sign in front: the sign and the word carry the meaning, the colour only repeats it. */
export function setBadge(node, state, sign, word) {
  setAttribute(node, "data-state", state);
  setText(node, `${sign} ${word}`);
}

/** Show labels as `name=value`, in the order given. */
export function setLabels(node, pairs) {
  reconcile(
    node,
    pairs,
    ([name]) => name,
    () => el("li", {}, el("span", { class: "label-name" }), el("span", { class: "label-value" })),
    (item, [name, value]) => {
      setText(item.firstElementChild, `${name}=`);
      setText(item.lastElementChild, String(value));
    },
  );
}
