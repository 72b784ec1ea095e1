// Mouse, pen and fingers on an element: one pointer drags a thing or the ground, two pinch.

export const NEAR = { mouse: 22, pen: 26, touch: 34 }; // pixels from a thing that still take hold of it

// actions:
//   hit(x, y, distance): the thing there, or null.
//   take(thing, x, y), drag(thing, x, y), drop(thing, moved): a thing is moved.
//   ground(dx, dy, event): what lies beneath is.
//   zoom(factor, x, y), and pan(dx, dy) of two fingers.
//   hover(thing).
export function gestures(element, actions) {
  const pointers = new Map();
  let thing = null;
  let moved = false;

  const place = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  const drop = () => {
    if (thing !== null) actions.drop(thing, moved);
    thing = null;
  };

  // The focus stays with what is taken hold of, or where it was.
  element.addEventListener("mousedown", (event) => {
    if (!event.target.closest("button, a, input, label")) event.preventDefault();
  });
  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    if (event.target.closest("button, a, input, label")) return;
    element.setPointerCapture(event.pointerId);
    const at = place(event);
    pointers.set(event.pointerId, at);
    if (pointers.size > 1) {
      drop();
      return;
    }
    thing = actions.hit(...at, NEAR[event.pointerType] ?? NEAR.mouse);
    moved = false;
    if (thing !== null) actions.take(thing, ...at);
    element.classList.add(thing === null ? "turning" : "dragging");
  });

  element.addEventListener("pointermove", (event) => {
    const at = place(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      const over = actions.hit(...at, NEAR[event.pointerType] ?? NEAR.mouse);
      element.classList.toggle("over", over !== null);
      actions.hover(over);
      return;
    }
    if (pointers.size === 1) {
      if (thing === null) {
        actions.ground(at[0] - before[0], at[1] - before[1], event);
      } else {
        moved = true;
        actions.drag(thing, ...at);
      }
    } else if (pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      actions.zoom(apart(at) / Math.max(apart(before), 1), (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
      actions.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
    }
    pointers.set(event.pointerId, at);
  });

  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    drop();
    element.classList.remove("turning", "dragging");
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("pointerleave", () => {
    if (!pointers.size) actions.hover(null);
  });
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    actions.zoom(Math.exp(-0.0015 * event.deltaY), ...place(event));
  }, { passive: false });
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// A button for each thing, which lies on it: for Tab, arrow keys and screen readers; pointers go by
// `gestures`.
export function handles(parent, names, { focus, blur, step }) {
  return names.map((name, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "handle";
    button.setAttribute("aria-label", name.replace("_", " "));
    button.dataset.joint = name;
    button.addEventListener("focus", () => focus(i));
    button.addEventListener("blur", () => blur(i));
    button.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const far = event.shiftKey ? 5 : 1;
      step(i, far * arrow[0], far * arrow[1]);
    });
    parent.append(button);
    return button;
  });
}

export function put(button, point, hidden = false) {
  button.hidden = hidden || !point;
  if (point) button.style.transform = `translate(${point.x}px, ${point.y}px)`;
}
