"""The words that names are made of. Places are real, people and products are not."""

FIRST_NAMES = {
    "F": ("Ada", "Amelie", "Anna", "Camille", "Chloë", "Clara", "Elena", "Emma", "Fatima", "Grace", "Hana", "Ines", "Julia",
          "Katarina", "Léa", "Maria", "Mei", "Nadia", "Olivia", "Priya", "Rosa", "Sofia", "Tanya", "Zoe"),
    "M": ("Adam", "Ahmed", "Ben", "Carlos", "Daniel", "Emil", "Felix", "Georg", "Hugo", "Ivan", "Jan", "Kenji", "Liam", "Lucas",
          "Mateo", "Noah", "Omar", "Paul", "Rahul", "René", "Samuel", "Thomas", "Victor", "Yusuf"),
}  # fmt: skip

LAST_NAMES = (
    "Adams", "Alvarez", "Bauer", "Berg", "Carter", "Chen", "Costa", "Dubois", "Evans", "Fischer", "Garcia", "Hansen", "Ito",
    "Jansen", "Khan", "Kowalski", "Laurent", "Lopez", "Martin", "Meyer", "Moreau", "Müller", "Nguyen", "Novak", "Olsen",
    "Patel", "Petit", "Rossi", "Schmidt", "Silva", "Singh", "Smith", "Suzuki", "Tanaka", "Turner", "Vega", "Wagner",
    "Walker", "Weber", "Young",
)  # fmt: skip

CITIES = (
    ("Berlin", "Germany", "DE"), ("Lyon", "France", "FR"), ("Paris", "France", "FR"), ("London", "United Kingdom", "GB"),
    ("Leeds", "United Kingdom", "GB"), ("Chicago", "United States", "US"), ("Seattle", "United States", "US"),
    ("Austin", "United States", "US"), ("Toronto", "Canada", "CA"), ("Sydney", "Australia", "AU"), ("Hamburg", "Germany", "DE"),
    ("Boston", "United States", "US"),
)  # fmt: skip

STREETS = (
    "Station Road",
    "Mill Lane",
    "Market Street",
    "Park Avenue",
    "Harbour Way",
    "School Lane",
    "Bridge Street",
    "High Street",
)

CATEGORIES = (
    ("AC_HE", "Helmets", "Accessories", False), ("AC_BR", "Bike Racks", "Accessories", True), ("AC_LI", "Lights", "Accessories", True),
    ("AC_LO", "Locks", "Accessories", False), ("BI_MB", "Mountain Bikes", "Bikes", True), ("BI_RB", "Road Bikes", "Bikes", True),
    ("BI_TB", "Touring Bikes", "Bikes", True), ("CL_JE", "Jerseys", "Clothing", False), ("CL_GL", "Gloves", "Clothing", False),
    ("CL_SH", "Shorts", "Clothing", False), ("CL_SO", "Socks", "Clothing", False), ("CO_CH", "Chains", "Components", True),
    ("CO_PE", "Pedals", "Components", False), ("CO_SA", "Saddles", "Components", False), ("CO_WH", "Wheels", "Components", True),
    ("CO_BR", "Brakes", "Components", True),
)  # fmt: skip

ADJECTIVES = (
    "Trail",
    "Summit",
    "Urban",
    "Alpine",
    "Classic",
    "Sprint",
    "Comfort",
    "Nomad",
    "Storm",
    "Pacific",
    "Meadow",
    "Granite",
)
COLORS = ("Red", "Black", "Blue", "Silver", "Green", "White", "Yellow", "Orange")
BRANDS = ("Northwind", "Velora", "Cascade", "Ironleaf", "Bergmann", "Lumen")
