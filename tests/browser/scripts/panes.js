() => [...document.querySelectorAll(".gb-machines")].map(group => ({
  names: [...group.querySelectorAll(":scope > fieldset input")].map(i => i.value),
  checked: group.querySelector(":scope > fieldset input:checked").value,
  shown: [...group.querySelectorAll(":scope > .gb-pane")]
    .filter(pane => pane.checkVisibility()).map(pane => pane.dataset.machine),
  said: [...group.querySelectorAll(":scope > .gb-pane")]
    .filter(pane => pane.checkVisibility())
    .map(pane => pane.querySelectorAll(".gb-evidence").length),
}))
