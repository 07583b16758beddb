"use strict";
// For all pages: their data, their elements, and new elements with attributes and children.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const DIGITS = [...Array(10).keys()];
const html = (name, attributes, ...children) => filled(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

function filled(element, attributes = {}, children) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
