"""The models of the lakehouse's own dbt project, as tests ask for them."""

from lakehouse_assets.settings import Settings


def built_from(name: str) -> set[str]:
    """Return the models that read a silver table or another model, directly or through others; with that model itself."""
    models = Settings().gold_project.models()
    result = {name} & {model.name for model in models}
    for model in models:
        if name in model.sources or result.intersection(model.refs):
            result.add(model.name)
    return result
