"""The collection of the system tests: twelve facts and one question about each."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FACTS = [
    ("a1", "Copper conducts heat and electricity well and is drawn into wires."),
    ("a2", "Granite is a hard rock that cools slowly deep in the crust."),
    ("a3", "Bees carry pollen between flowers and make honey from nectar."),
    ("a4", "A glacier is a river of ice that grinds valleys as it moves."),
    ("a5", "Bread rises because yeast turns sugar into carbon dioxide."),
    ("a6", "The moon pulls the oceans and causes the tides."),
    ("a7", "Bamboo is a grass that can grow most of a metre in a day."),
    ("a8", "Vaccines teach the immune system to recognise a virus."),
    ("a9", "A compass needle points to the magnetic north pole."),
    ("b1", "Bats find insects at night by the echo of their calls."),
    ("b2", "Glass is made by melting sand with soda and lime."),
    ("b3", "Salt lowers the freezing point of water on winter roads."),
]
QUESTIONS = [
    ("q1", "which metal goes into cables", "a1"),
    ("q2", "stone formed under the ground", "a2"),
    ("q3", "who makes the sweet stuff from blossoms", "a3"),
    ("q4", "frozen mass carving mountains", "a4"),
    ("q5", "why does dough get bigger", "a5"),
    ("q6", "what makes the sea go up and down", "a6"),
    ("q7", "fastest growing plant", "a7"),
    ("q8", "how does a jab protect me", "a8"),
    ("q9", "instrument for finding direction", "a9"),
    ("q10", "flying mammals hunting in the dark", "b1"),
    ("q11", "what are windows made from", "b2"),
    ("q12", "why put salt on icy streets", "b3"),
]
