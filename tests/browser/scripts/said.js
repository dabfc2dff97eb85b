([cards, images]) => {
    const form = document.getElementById("gb-chooser");
    const said = [];
    for (let card = 0; card < cards; card += 1)
        for (let image = 0; image < images; image += 1) {
            form.card.selectedIndex = card;
            form.image.selectedIndex = image;
            form.dispatchEvent(new Event("input"));
            said.push(form.querySelector("[role=status]").textContent);
        }
    return said;
}
