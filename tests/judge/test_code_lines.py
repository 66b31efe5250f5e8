"""The flag `code` by rules over lines: answers in many languages, and what only looks like code."""

import pytest

from lib.judge.code_lines import asks_for_code, is_code

PROMPT = "I have nothing to do tonight. Any ideas?"
CODE = {
    "python function": (
        "def greet(name):\n    # say hello\n    return f'Hello {name}'\n\nprint(greet('Ann'))"
    ),
    "python one line": 'print("I wish for rain")',
    "python comments first": (
        "# Load the data\n# and clean it\n\nimport pandas as pd\n\ndf = pd.read_csv('a.csv')\n"
        "# drop gaps\ndf = df.dropna()"
    ),
    "python class with docstring": (
        'class Cat:\n    """A small animal.\n\n    It sleeps a lot.\n    """\n\n'
        "    def __init__(self, name):\n        self.name = name\n\n    def nap(self):\n"
        "        pass"
    ),
    "python loop": (
        "total = 0\nfor n in numbers:\n    if n % 2 == 0:\n        total += n\n    else:\n"
        "        continue\nprint(total)"
    ),
    "python try": (
        "try:\n    with open(path) as file:\n        text = file.read()\n"
        "except OSError as error:\n    print(error)\nfinally:\n    done = True"
    ),
    "python dictionary": (
        'menu = {\n    "soup": 4,\n    "bread": 2,\n}\nfor dish, price in menu.items():\n'
        "    print(dish, price)"
    ),
    "python assignments of text": (
        'idea_1 = "Read a book."\nidea_2 = "Call a friend."\nidea_3 = "Take a walk."'
    ),
    "python decorator": (
        "@app.route('/')\ndef index():\n    user = request.args.get('user')\n"
        "    return render(user)"
    ),
    "python fenced with a sentence around it": (
        "Sure, try this:\n\n```python\nimport random\n\nideas = ['walk', 'read']\n"
        "print(random.choice(ideas))\n```\n\nHave fun!"
    ),
    "python in a block without a language": (
        "```\nimport os\nfor name in os.listdir('.'):\n    print(name)\n```"
    ),
    "python in a block that is never closed": (
        "Here is what I would do.\n```python\ndef run():\n    while True:\n        step()\n"
        "        wait(1)"
    ),
    "python after a plain sentence": (
        "Here's a script for you:\n\nimport time\n\ndef tick():\n    time.sleep(1)\n"
        "    return 'tick'"
    ),
    "python with a long comment": (
        "# This program asks for a name.\n# Then it prints a greeting.\n# It is short.\n"
        "name = input('Name? ')\nprint('Hello ' + name)"
    ),
    "python lambda and comprehension": (
        "squares = [n * n for n in range(10)]\neven = list(filter(lambda n: n % 2 == 0, squares))"
    ),
    "javascript": (
        "const ideas = ['walk', 'read'];\n\nfunction pick(list) {\n  // at random\n"
        "  return list[Math.floor(Math.random() * list.length)];\n}\n\n"
        "console.log(pick(ideas));"
    ),
    "javascript promise": (
        "fetch('/api/users')\n  .then((reply) => reply.json())\n  .then((users) => {\n"
        "    show(users);\n  })\n  .catch(console.error);"
    ),
    "javascript express": (
        "const express = require('express');\nconst app = express();\n\n"
        "app.get('/', (req, res) => {\n  res.send('Hi');\n});\n\napp.listen(3000);"
    ),
    "javascript fenced": "```js\nlet n = 3;\nwhile (n > 0) {\n  n--;\n}\n```",
    "typescript": (
        "interface User {\n  name: string;\n  age: number;\n}\n\n"
        "export const greet = (user: User): string => {\n  return `Hello ${user.name}`;\n};"
    ),
    "react": (
        "import React from 'react';\n\nexport default function App() {\n  return (\n"
        '    <div className="app">\n      <h1>Hello</h1>\n    </div>\n  );\n}'
    ),
    "c": (
        "#include <stdio.h>\n\nint main(void) {\n    int n = 3;\n    /* count\n       down */\n"
        '    while (n > 0) {\n        printf("%d\\n", n--);\n    }\n    return 0;\n}'
    ),
    "c macro and struct": (
        "#define MAX 10\n\nstruct point {\n    int x;\n    int y;\n};\n\n"
        "void move(struct point *p) {\n    p->x += 1;\n}"
    ),
    "c++": (
        "#include <iostream>\nusing namespace std;\n\nint main() {\n"
        "    for (int i = 0; i < 3; i++) {\n        cout << i << endl;\n    }\n}"
    ),
    "sql select": "SELECT name, age\nFROM users\nWHERE age > 30\nORDER BY name;",
    "sql table": (
        "CREATE TABLE users (\n    id SERIAL PRIMARY KEY,\n    name VARCHAR(50),\n"
        "    born DATE\n);\n\nINSERT INTO users (name) VALUES ('Ann');"
    ),
    "sql in lower case": ("select * from orders where paid = 0;\ndelete from orders where id = 3;"),
    "sql update": (
        "-- close old accounts\nUPDATE accounts\nSET active = 0\nWHERE last_seen < '2020-01-01';"
    ),
    "html": (
        "<!DOCTYPE html>\n<html>\n<head>\n  <title>Hello</title>\n</head>\n<body>\n"
        "  <h1>Ideas</h1>\n  <p>Take a walk.</p>\n</body>\n</html>"
    ),
    "html list": "<ul>\n  <li>Read a book</li>\n  <li>Call a friend</li>\n</ul>",
    "html fenced with prose": (
        'This page would do:\n```html\n<form action="/go">\n  <input name="q">\n'
        "  <button>Go</button>\n</form>\n```\nOpen it in a browser."
    ),
    "css": "body {\n  margin: 0;\n  font-family: serif;\n}\n\n.card:hover {\n  color: #fff;\n}",
    "css with media query": (
        "/* small screens */\n@media (max-width: 600px) {\n  .menu { display: none; }\n"
        "  .main {\n    width: 100%;\n  }\n}"
    ),
    "shell script": (
        "#!/bin/bash\n# back up the notes\nset -e\nfor file in *.txt; do\n"
        '  cp "$file" backup/\ndone\necho "done"'
    ),
    "shell commands": (
        "sudo apt-get update\nsudo apt-get install -y nginx\nsudo systemctl start nginx"
    ),
    "shell conditions": ("if [ -f notes.txt ]; then\n  cat notes.txt\nelse\n  touch notes.txt\nfi"),
    "shell fenced": "Run these:\n\n```bash\nmkdir notes\ncd notes\ngit init\n```",
    "java": (
        "import java.util.List;\n\npublic class Main {\n    private int count;\n\n"
        '    @Override\n    public String toString() {\n        return "Main";\n    }\n\n'
        '    public static void main(String[] args) {\n        System.out.println("Hello");\n'
        "    }\n}"
    ),
    "java method": (
        "public List<String> names() {\n    List<String> found = new ArrayList<>();\n"
        '    found.add("Ann");\n    return found;\n}'
    ),
    "rust": (
        "use std::io;\n\nfn main() {\n    let mut line = String::new();\n"
        "    io::stdin().read_line(&mut line).unwrap();\n    match line.trim() {\n"
        '        "a" => println!("one"),\n        _ => println!("other"),\n    }\n}'
    ),
    "rust struct": (
        "pub struct Point {\n    x: f64,\n    y: f64,\n}\n\nimpl Point {\n"
        "    pub fn new(x: f64, y: f64) -> Self {\n        Point { x, y }\n    }\n}"
    ),
    "go": (
        'package main\n\nimport "fmt"\n\nfunc main() {\n\tfor i := 0; i < 3; i++ {\n'
        "\t\tfmt.Println(i)\n\t}\n}"
    ),
    "ruby": (
        "class Dog\n  def initialize(name)\n    @name = name\n  end\n\n  def bark\n"
        "    puts \"Woof\"\n  end\nend\n\nDog.new('Rex').bark"
    ),
    "php": "<?php\n$name = $_GET['name'];\nif ($name) {\n    echo \"Hello $name\";\n}\n?>",
    "r": "x <- c(1, 2, 3)\ny <- mean(x)\nprint(y)",
    "dockerfile": (
        "FROM python:3.11\nWORKDIR /app\nCOPY . /app\nRUN pip install flask\n"
        'CMD ["python", "app.py"]'
    ),
    "code with two short remarks": (
        "First the import.\n\nimport math\nradius = float(input())\n"
        "area = math.pi * radius ** 2\nprint(area)\n\nThat is all."
    ),
}
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


def scores(cases) -> tuple[int, int, int]:
    """True positives, false positives, false negatives over authored (answer, label) pairs."""
    called = [(is_code(PROMPT, text), label) for text, label in cases]
    return (
        sum(said and true for said, true in called),
        sum(said and not true for said, true in called),
        sum(true and not said for said, true in called),
    )


def test_f1_on_authored_answers():
    cases = [(text, True) for text in CODE.values()] + [(text, False) for text in NOT_CODE.values()]
    assert len(cases) >= 60
    right, false_alarms, missed = scores(cases)
    assert 2 * right / (2 * right + false_alarms + missed) >= 0.97


@pytest.mark.parametrize("name", CODE)
def test_code(name):
    assert is_code(PROMPT, CODE[name])


@pytest.mark.parametrize("name", NOT_CODE)
def test_what_is_no_code(name):
    assert not is_code(PROMPT, NOT_CODE[name])


@pytest.mark.parametrize(
    "prompt",
    [
        "Write a function that adds two numbers.",
        "Please fix this code.",
        "Give me a bash script.",
        "Which program sorts a list?",
        "Fill in the template:\ndef answer():",
        "Answer as JSON.",
        "How do I center a div in CSS?",
        "Explain recursion in Python",
        "A regex for dates, please",
        "How can I implement a queue?",
    ],
)
def test_a_prompt_that_asks_for_code_gets_it_without_a_flag(prompt):
    assert asks_for_code(prompt) and not any(is_code(prompt, text) for text in CODE.values())


@pytest.mark.parametrize(
    "prompt",
    [
        "hey I feel bored",
        "What is your wish?",
        "What is the dress code for a wedding?",
        "Which exercise program suits me?",
        "I've had enough of my husband. What should I do?",
        "Tell me 3 philosophical thoughts.",
        "Who wrote that movie script?",
        "What is the code of conduct at your school?",
        "Which TV programs do you like?",
        "Describe a coder's... no, a cook's day.",
    ],
)
def test_everyday_prompts_ask_for_none(prompt):
    assert not asks_for_code(prompt) and is_code(prompt, CODE["javascript"])


@pytest.mark.parametrize("lines", [(1, 1, False), (2, 1, True), (3, 2, True), (2, 3, False)])
def test_more_than_half_is_more_than_half(lines):
    code, prose, flagged = lines
    text = "\n".join(["print('a')"] * code + ["", " "] + ["This is a plain sentence."] * prose)
    assert is_code(PROMPT, text) == flagged


@pytest.mark.parametrize(
    "text",
    [
        "a" * 50_000,
        "( " * 20_000,
        "x = " * 10_000,
        "<p " * 15_000,
        "a.b" * 15_000,
        "a: " * 15_000,
        "{ a:b " * 8_000,
        "a, " * 15_000 + "=",
        "# " * 20_000,
        "```\n" * 5_000,
        "Be kind. " * 6_000,
        "public " * 8_000,
        "[" * 30_000,
        "await " * 9_000,
        "-" * 40_000,
        "A" * 30_000,
        "Aa " * 20_000,
        "aa.bb" * 500 + "(",
        "a-" * 20_000,
        '"' * 30_000,
    ],
)
def test_a_long_line_comes_to_an_end(text):
    """A pattern that backtracks without bound would hang here."""
    assert is_code(PROMPT, text + "\nA plain sentence.\nAnother plain sentence.") is False
