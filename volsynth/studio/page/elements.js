// What the page consists of, by its ids.

export const $ = (id) => document.getElementById(id);

export const on = (id, event, action) => $(id).addEventListener(event, action);
