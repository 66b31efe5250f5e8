"""Answers that only look like code."""

from __future__ import annotations

NOT_CODE = {
    "one sentence": "Take a walk and call a friend.",
    "paragraphs": (
        "There is much to do on a dull evening.\n\nYou could read, cook, or go out for a while."
    ),
    "numbered list": (
        "1. Read a book.\n2. Take a walk.\n3. Cook something new.\n4. Call a friend."
    ),
    "bullets": "- read a book\n- take a walk\n- cook something new",
    "stars": "* read a book\n* take a walk\n* cook something new",
    "nested list": "1. Evening\n   - read\n   - cook\n2. Morning\n   - run\n   - stretch",
    "list of code words": (
        "Learn about:\n- loops (for, while)\n- functions\n- print() and input()\n- if / else"
    ),
    "markdown table": "| day | plan |\n|---|---|\n| Monday | read |\n| Tuesday | walk |",
    "table with a caption": (
        "Here is a plan:\n\n| hour | what | cost |\n|:---|:---:|---:|\n| 7 | cook | $3 |\n"
        "| 8 | eat | $0 |"
    ),
    "headings": (
        "# Evening\n\nRead a book.\n\n## Later\n\nTake a walk.\n\n### Night\n\nSleep well."
    ),
    "pseudo-headings": "# Step one\n# Step two\n# Step three\nGo to bed.",
    "bold headings": "**Reading**\nTake a novel.\n\n**Walking**\nGo to the park.",
    "step lines": (
        "Step 1: Open the box.\nStep 2: Take out the parts.\nStep 3: Screw them together."
    ),
    "imperatives": "Open the door\nStep outside\nBreathe in\nBreathe out\nReturn home",
    "formulas": "The area is\n\nA = pi * r^2\n\nand the circumference is\n\nC = 2 * pi * r",
    "formulas alone": "E = mc^2\nF = m * a\nv = d / t",
    "formula with functions": (
        "f(x) = x^2 + 3x\ny = sin(x) + cos(x)\nP(A|B) = P(B|A) * P(A) / P(B)"
    ),
    "latex": "$$\\frac{a}{b} = c$$\n\n\\sum_{i=1}^{n} i = \\frac{n(n+1)}{2}",
    "worked sum": "x + 3 = 7\nx = 7 - 3\nx = 4",
    "word formula": "Profit = revenue - costs\nSpeed = distance / time",
    "verse": (
        "The woods are lovely, dark and deep;\nthe snow lies thick on field and hill;\n"
        "I watch the birds that cannot sleep,\nand all the world is white and still."
    ),
    "verse in lower case": "while the river runs\nfor the sea\nif you follow\nreturn to me",
    "haiku": "old pond\na frog leaps in\nwater's sound",
    "lyrics": (
        "(Chorus)\nOh, let it go, let it be\n(Verse 2)\nThe night is young, the sky is free"
    ),
    "dialogue": (
        "Anna: Are you coming?\nBen: In a minute.\nAnna: You always say that.\n"
        "Ben: And I always come."
    ),
    "screenplay": "INT. KITCHEN - NIGHT\n\nANNA\n(whispers)\nWho is there?\n\nBEN\nOnly me.",
    "quoted dialogue": (
        '"Are you coming?" she asked.\n"In a minute," he said.\n"You always say that."'
    ),
    "letter": (
        "Dear Ann,\n\nthank you for your letter. I was glad to hear from you.\n\nYours,\nBen"
    ),
    "recipe": (
        "Ingredients:\n- 2 eggs\n- 100 g flour\n\nMethod:\nMix; rest for an hour; fry in butter."
    ),
    "shell transcript in prose": (
        "I opened a terminal and typed a command.\n$ ls\nnotes.txt  plan.txt\n"
        "There were two files in the folder.\nI read both of them and went to bed."
    ),
    "command within a sentence": (
        "Run `pip install flask`, then `flask run`, and open the page in a browser."
    ),
    "short block in much prose": (
        "You can print a word in Python.\nIt is easy to do.\n\n```python\nprint('word')\n```\n"
        "\nSave it in a file.\nThen run the file."
    ),
    "half code": (
        "A sentence stands here.\n\nprint('one')\n\nAnother one stands here.\n\nprint('two')"
    ),
    "plain text in a block": "```\nDear Ann,\nthe meeting is on Monday.\nYours, Ben\n```",
    "verse in a block": "```text\nroses are red\nviolets are blue\n```",
    "json data": '{\n  "name": "Ann",\n  "age": 30,\n  "likes": ["tea", "rain"]\n}',
    "csv": "name,age,town\nAnn,30,Bonn\nBen,41,Rome",
    "yaml": "name: Ann\nage: 30\nlikes:\n  - tea\n  - rain",
    "schedule": "7:00 wake up\n8:00 breakfast\n9:00 work\n17:00 home",
    "phone numbers": "Police: 110\nFire: 112\nDoctor: 116117",
    "address": "Ann Smith\n12 Long Road (rear)\nOxford OX1 2AB",
    "arrows": "work -> money -> house\nsleep => health\nread -> know",
    "emoticons": "I <3 you :) and you <3 me ;)\n<3 <3 <3",
    "definitions": "class: a group of pupils\nfunction: a purpose\nimport: to bring in goods",
    "for and while in prose": (
        "for example, you could read\nwhile it rains, stay inside\nif it stops, go for a walk"
    ),
    "quotes": "> To be, or not to be,\n> that is the question.",
    "mail head": "From: Ann\nTo: Ben\nSubject: Monday\n\nSee you on Monday.",
    "chess": "1. e4 e5\n2. Nf3 Nc6\n3. Bb5 a6",
    "tags in prose": (
        "The answer is in the tags that were asked for.\n<answer>Take a walk.</answer>"
    ),
    "german": "Geh spazieren.\nLies ein Buch.\nRuf einen Freund an.",
    "update": "UPDATE: we moved.\nFROM now on we meet at six.\nSELECT few come.",
    "empty": "",
    "blank": " \n\t\n",
    "word salad": "spoon river the of ; and ( blue",
}
